"""Round an awkward extent of a sum of products up to a multiple.

before (49 = 7 * 7 iterations have no tile of 6, 8 or 16 rows)::

    for m < 49, n, k:  out[m, n] += x[m, k] * w[k, n]

after (multiple 8)::

    for m < 56, k:     x_pad[m, k] = x[m, k] if m < 49 else 0
    for m < 56, n, k:  y[m, n] += x_pad[m, k] * w[k, n]
    for m < 49, n:     out[m, n] = y[m, n]

The last stage is the epilogue where there is one. Operands that do not depend on the axis are read
as before. A padding block in front of a convolution grows instead of being copied once more, and
what lies beyond an operand is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search_space.rewrites.affine import axes_in, evaluate
from search_space.rewrites.contraction import Contraction, Operand, contraction_of
from search_space.rewrites.emit import Emitter, Layout, combine, emit, guarded
from search_space.rewrites.program import Axis, NotLiftable, Program, Stage, constant, lift, substitute
from search_space.tvm_api import te, tvm


def pad_axis(func: Any, block: str, axis: int, multiple: int) -> Any:
    """Round one iterator of a reduction block up to a multiple.

    Args:
        func: An unscheduled PrimFunc.
        block: Name of a block that sums products.
        axis: Position among its iterators as the block has them (reductions of extent 1 left out).
        multiple: What the extent shall be divisible by.

    Returns:
        The PrimFunc with that block enlarged; ``func`` itself if the extent divides already.

    Raises:
        NotLiftable: If the block is missing, is no sum of products, or has no such iterator.
    """
    program = lift(func)
    stage = next((s for s in program.stages if s.name == block), None)
    if stage is None:
        known = ", ".join(s.name for s in program.stages)
        raise NotLiftable(f"pad_axis: no block {block!r}; the function has {known}")
    contraction = contraction_of(program, stage)
    if contraction is None or not contraction.is_plain_product:
        raise NotLiftable(f"pad_axis: block {block!r} is not a plain sum of products of two operands")
    axes = (*stage.axes, *stage.reduction)
    if not 0 <= axis < len(axes):
        raise NotLiftable(f"pad_axis: block {block!r} has iterators 0 to {len(axes) - 1}, not {axis}")
    padded = -(-axes[axis].extent // multiple) * multiple
    if padded == axes[axis].extent:
        return func
    return pad_stage(program, contraction, [(axes[axis], padded)])


def pad_stage(program: Program, contraction: Contraction, grown: Sequence[tuple[Axis, int]]) -> Any:
    """Return the PrimFunc in which some iterators of a contraction have larger extents."""

    def compute(emitter: Emitter) -> tuple[Any, Layout | None]:
        return _compute(emitter, program, contraction, grown)

    return emit(program, [(contraction.stage, compute)])


def _compute(
    emitter: Emitter, program: Program, contraction: Contraction, grown: Sequence[tuple[Axis, int]]
) -> tuple[Any, Layout | None]:
    stage = contraction.stage

    def extent(axis: Axis) -> int:
        return next((e for a, e in grown if a is axis), axis.extent)

    reduction = [te.reduce_axis((0, extent(a)), name=a.name) for a in stage.reduction]
    readers = {
        id(operand): _reader(emitter, program, stage, operand, grown, extent)
        for operand in (contraction.data, contraction.weight)
    }

    def body(*index: Any) -> Any:
        bound = [(a.var, i) for a, i in zip(stage.axes, index, strict=True)]
        bound += [(a.var, r.var) for a, r in zip(stage.reduction, reduction, strict=True)]
        data, weight = (readers[id(o)](bound) for o in (contraction.data, contraction.weight))
        return combine("sum", contraction.product(data, weight), reduction)

    shape = [extent(a) for a in stage.axes]
    tensor = emitter.compute(shape, body, stage.name, [a.name for a in stage.axes])
    if tuple(shape) == stage.shape:
        return tensor, None
    return tensor, Layout(tuple(shape), tuple(a.name for a in stage.axes), lambda index: index, None)


def _reader(
    emitter: Emitter,
    program: Program,
    stage: Stage,
    operand: Operand,
    grown: Sequence[tuple[Axis, int]],
    extent: Callable[[Axis], int],
) -> Callable[[Sequence[tuple[Any, Any]]], Any]:
    """Return a reader of what the stage reads itself, from an enlarged copy if need be."""
    axes = (*stage.axes, *stage.reduction)
    shape = [int(e) for e in operand.direct.shape]
    touched = [axes_in(i, [a for a, _ in grown]) for i in operand.direct_indices]
    if any(t and not _is_monotone(i, axes) for t, i in zip(touched, operand.direct_indices, strict=True)):
        return _gathered(emitter, stage, operand, grown, extent)
    needed = [_largest(i, axes, extent) + 1 for i in operand.direct_indices]
    larger = [max(old, new) for old, new in zip(shape, needed, strict=True)]

    def index_of(bound: Sequence[tuple[Any, Any]]) -> list[Any]:
        return [substitute(i, bound) for i in operand.direct_indices]

    if larger == shape:
        return lambda bound: emitter.read(operand.direct, index_of(bound))
    producer = program.producer(operand.direct)
    moves_only = producer is not None and not operand.direct.same_as(operand.buffer)

    def copy(*index: Any) -> Any:
        inside = [i < old for i, old, new in zip(index, shape, larger, strict=True) if new > old]
        if producer is not None and moves_only:
            bound = [(a.var, i) for a, i in zip(producer.axes, index, strict=True)]
            return guarded(inside, emitter.convert(producer.value, bound), str(operand.direct.dtype))
        return guarded(inside, emitter.read(operand.direct, index), str(operand.direct.dtype))

    name = producer.name if producer is not None and moves_only else f"{operand.direct.name}_pad"
    names = [a.name for a in producer.axes] if producer is not None and moves_only else []
    tensor = emitter.compute(larger, copy, name, names)
    return lambda bound: tensor(*index_of(bound))


def _gathered(
    emitter: Emitter,
    stage: Stage,
    operand: Operand,
    grown: Sequence[tuple[Axis, int]],
    extent: Callable[[Axis], int],
) -> Callable[[Sequence[tuple[Any, Any]]], Any]:
    """Copy an operand into the order of the iterators, where its indices divide or wrap around."""
    own = [
        a for a in (*stage.axes, *stage.reduction) if any(axes_in(i, (a,)) for i in operand.direct_indices)
    ]

    def copy(*index: Any) -> Any:
        bound = [(a.var, i) for a, i in zip(own, index, strict=True)]
        inside = [i < a.extent for a, i in zip(own, index, strict=True) if any(a is g for g, _ in grown)]
        source = [substitute(i, bound) for i in operand.direct_indices]
        return guarded(inside, emitter.read(operand.direct, source), str(operand.direct.dtype))

    tensor = emitter.compute(
        [extent(a) for a in own], copy, f"{operand.direct.name}_rows", [a.name for a in own]
    )
    return lambda bound: tensor(*(substitute(a.var, bound) for a in own))


def _is_monotone(index: Any, axes: Sequence[Axis]) -> bool:
    """Report whether an index is affine in its iterators, with no negative coefficient."""
    variables = [a.var for a in axes]
    found = tvm.sym.detect_linear_equation(index, variables) if hasattr(index, "ty") else []
    numbers = [constant(c) for c in found]
    return all(n is not None for n in numbers) and all((n or 0) >= 0 for n in numbers[:-1])


def _largest(index: Any, axes: Sequence[Axis], extent: Callable[[Axis], int]) -> int:
    """Largest value of an index over the enlarged iterators."""
    used = axes_in(index, axes)
    values = [(a.var, np.array([extent(a) - 1], dtype=np.int64)) for a in used]
    return int(np.max(evaluate(index, values)))
