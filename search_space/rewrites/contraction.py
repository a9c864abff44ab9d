"""Recognise what a reduction computes: a sum of products of two operands, windows and all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search_space.rewrites.affine import MAX_POINTS, Dim, axes_in, evaluate, fit, split_conditions
from search_space.rewrites.program import Axis, Program, Stage, map_loads, substitute
from search_space.tvm_api import tirx, tvm, tvm_ffi


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """One factor: an element of a buffer, or zero where a condition does not hold.

    Producers that only move, pad or dilate elements are looked through, so ``buffer`` is the first
    one that holds computed (or given) values.

    Attributes:
        buffer: Where elements come from.
        indices: Index expressions in the iterators of the stage.
        conditions: What must hold for an element to be read.
        casts: Element types that the element is converted to, innermost first.
        dims: Formula of each index; None where it has another form.
        direct: The buffer that the stage itself reads.
        direct_indices: The index into it.
    """

    buffer: Any
    indices: tuple[Any, ...]
    conditions: tuple[Any, ...]
    casts: tuple[str, ...]
    dims: tuple[Dim | None, ...]
    direct: Any
    direct_indices: tuple[Any, ...]

    @property
    def dtype(self) -> str:
        """Element type of the buffer."""
        return str(self.buffer.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the buffer."""
        return tuple(int(e) for e in self.buffer.shape)

    def cast(self, value: Any) -> Any:
        """Convert an element as the stage does."""
        for dtype in self.casts:
            value = tirx.Cast(dtype, value)
        return value

    def axes(self, among: Sequence[Axis]) -> tuple[Axis, ...]:
        """Return the iterators that its elements depend on."""
        return tuple(a for a in among if any(axes_in(e, (a,)) for e in (*self.indices, *self.conditions)))


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """``out[spatial] = sum over reduction of data * weight``.

    Attributes:
        stage: The block.
        data: The factor with windows or padding (else the first factor).
        weight: The other one.
        is_swapped: Whether the stage multiplies ``weight * data`` in this order.
        rows: Output iterators that only the data depends on (or neither).
        columns: Output iterators that only the weight depends on.
        batch: Output iterators that both depend on (batches, groups, depthwise channels).
    """

    stage: Stage
    data: Operand
    weight: Operand
    is_swapped: bool
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    batch: tuple[Axis, ...]

    def product(self, data: Any, weight: Any) -> Any:
        """Multiply two elements with the conversions of the stage."""
        left, right = self.data.cast(data), self.weight.cast(weight)
        return right * left if self.is_swapped else left * right

    def data_dim(self, axis: Axis) -> int | None:
        """Return which dimension of the data an output iterator indexes, if it is just one."""
        found = [d for d, dim in enumerate(self.data.dims) if dim is not None and dim.spatial is axis]
        return found[0] if len(found) == 1 else None

    @property
    def is_plain_product(self) -> bool:
        """Whether the stage reads both operands without a condition of its own."""
        return all(_is_plain_load(v) for v in (self.stage.value.a, self.stage.value.b))

    @property
    def windows(self) -> tuple[int, ...]:
        """Dimensions of the data over which a window slides (or that are strided or padded)."""
        return tuple(d for d, dim in enumerate(self.data.dims) if dim is not None and dim.is_window)

    @property
    def taps(self) -> tuple[Axis, ...]:
        """Reduction iterators that move within a window."""
        found = []
        for d in self.windows:
            dim = self.data.dims[d]
            if dim is not None and dim.tap is not None:
                found.append(dim.tap)
        return tuple(found)

    @property
    def channels(self) -> tuple[Axis, ...]:
        """Reduction iterators that are no taps."""
        return tuple(a for a in self.stage.reduction if not any(a is t for t in self.taps))


def anchor_contraction(program: Program) -> Contraction | None:
    """Return the program's anchor as a sum of products, or None if it has no anchor or another one."""
    stage = program.anchor()
    return None if stage is None else contraction_of(program, stage)


def contraction_of(program: Program, stage: Stage) -> Contraction | None:
    """Recognise a reduction stage as a sum of products of two operands.

    Args:
        program: The program it belongs to.
        stage: A stage with a combiner.

    Returns:
        The contraction, or None if the stage computes something else.
    """
    if stage.combiner != "sum" or not stage.reduction or not isinstance(stage.value, tirx.Mul):
        return None
    axes = (*stage.axes, *stage.reduction)
    left = _operand(program, stage.value.a, axes)
    right = _operand(program, stage.value.b, axes)
    if left is None or right is None:
        return None
    swapped = _windows(right) > _windows(left)
    data, weight = (right, left) if swapped else (left, right)
    in_data, in_weight = data.axes(stage.axes), weight.axes(stage.axes)
    rows: list[Axis] = []
    columns: list[Axis] = []
    batch: list[Axis] = []
    for axis in stage.axes:
        of_data = any(a is axis for a in in_data)
        of_weight = any(a is axis for a in in_weight)
        (batch if of_data and of_weight else columns if of_weight else rows).append(axis)
    return Contraction(stage, data, weight, swapped, tuple(rows), tuple(columns), tuple(batch))


def _windows(operand: Operand) -> int:
    return sum(1 for d in operand.dims if d is not None and d.is_window) + len(operand.conditions)


def _operand(program: Program, value: Any, axes: Sequence[Axis]) -> Operand | None:
    direct = _direct_load(value)
    read = _guarded_load(program, value)
    if read is None or direct is None:
        return None
    extents = [int(e) for e in read.buffer.shape]
    used = [axes_in(i, axes) for i in read.indices]
    owned: list[list[Any]] = [[] for _ in used]
    for condition in read.conditions:
        wanted = axes_in(condition, axes)
        owner = [d for d, own in enumerate(used) if own and all(any(w is o for o in own) for w in wanted)]
        if not wanted or len(owner) != 1:
            return replace(read, dims=(None,) * len(extents), direct=direct[0], direct_indices=direct[1])
        owned[owner[0]].append(condition)
    dims = tuple(
        fit(index, conditions, own, extent)
        for index, conditions, own, extent in zip(read.indices, owned, used, extents, strict=True)
    )
    return replace(read, dims=dims, direct=direct[0], direct_indices=direct[1])


def _direct_load(value: Any) -> tuple[Any, tuple[Any, ...]] | None:
    while True:
        if isinstance(value, tvm.ir.TensorLoad):
            return value.source, tuple(value.indices)
        if isinstance(value, tirx.Cast):
            value = value.value
        elif (parts := conditional(value)) is not None:
            value = parts[1]
        else:
            return None


def _is_plain_load(value: Any) -> bool:
    while isinstance(value, tirx.Cast):
        value = value.value
    return isinstance(value, tvm.ir.TensorLoad)


def _guarded_load(program: Program, value: Any) -> Operand | None:
    """Parse conversions, conditions and one load, looking through producers of the same form."""
    if isinstance(value, tirx.Cast):
        inner = _guarded_load(program, value.value)
        return None if inner is None else replace(inner, casts=(*inner.casts, str(value.ty)))
    parts = conditional(value)
    if parts is not None:
        inner = _guarded_load(program, parts[1])
        if inner is None:
            return None
        return replace(inner, conditions=(*split_conditions(parts[0]), *inner.conditions))
    if not isinstance(value, tvm.ir.TensorLoad):
        return None
    producer = program.producer(value.source)
    if producer is not None and producer.combiner is None:
        bound = list(zip((a.var for a in producer.axes), value.indices, strict=True))
        inner = _guarded_load(program, substitute(producer.value, bound))
        if inner is not None:
            return inner
    return Operand(value.source, tuple(value.indices), (), (), (), None, ())


def conditional(value: Any) -> tuple[Any, Any] | None:
    """Return condition and value of ``value if condition else 0``, None for anything else."""
    if isinstance(value, tvm.ir.Call) and str(getattr(value.op, "name", "")).endswith("if_then_else"):
        condition, chosen, other = value.args
    elif isinstance(value, tirx.Select):
        condition, chosen, other = value.condition, value.true_value, value.false_value
    else:
        return None
    if isinstance(other, (tirx.FloatImm, tirx.IntImm)) and float(other.value) == 0.0:
        return condition, chosen
    return None


def without_copies(contraction: Contraction) -> Any:
    """Return the stage's value with the data read where it was before mere copies (padding by 0)."""
    data = contraction.data
    same_place = len(data.indices) == len(data.direct_indices) and tvm_ffi.structural_equal(
        list(data.indices), list(data.direct_indices), map_free_vars=False
    )
    if data.conditions or not same_place or data.buffer.same_as(data.direct):
        return contraction.stage.value

    def visit(load: Any) -> Any:
        return tirx.BufferLoad(data.buffer, load.indices) if load.source.same_as(data.direct) else load

    return map_loads(contraction.stage.value, visit)


def grouped_channels(contraction: Contraction) -> int:
    """Return which dimension of the data holds the channels of all groups of a grouped convolution.

    Its index is ``co // columns * channels + ci``: the result's columns lie group by group, and each group
    reads channels of its own.

    Args:
        contraction: The contraction.

    Returns:
        The dimension, or -1 if there are no such groups.
    """
    data, batch, channels = contraction.data, contraction.batch, contraction.channels
    unknown = [d for d, dim in enumerate(data.dims) if dim is None]
    if len(batch) != 1 or len(channels) != 1 or len(unknown) != 1 or contraction.columns:
        return -1
    (column,), (channel,), (d,) = batch, channels, unknown
    if data.shape[d] % channel.extent or column.extent * channel.extent > MAX_POINTS:
        return -1
    groups = data.shape[d] // channel.extent
    if groups < 2 or column.extent % groups:
        return -1
    co, ci = np.meshgrid(np.arange(column.extent), np.arange(channel.extent), indexing="ij")
    try:
        found = evaluate(data.indices[d], [(column.var, co), (channel.var, ci)])
    except ValueError:
        return -1
    expected = co // (column.extent // groups) * channel.extent + ci
    return d if np.array_equal(np.broadcast_to(found, expected.shape), expected) else -1
