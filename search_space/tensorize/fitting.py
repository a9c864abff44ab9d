"""Make a program fit the intrinsics of a machine: signs that they multiply, extents that they divide.

before (two signed operands, 30 columns, 27 terms; ``vpdpbusd`` multiplies unsigned by signed bytes)::

    for m, n < 30, k < 27:  out[m, n] += int32(x[m, k]) * int32(w[k, n])

after (the sign bit of ``w`` flipped is ``w + 128``, unsigned)::

    for m, k < 28:          x_pad[m, k] = x[m, k] if k < 27 else 0
    for k < 28, n < 32:     w_pad[k, n] = uint8(w[k, n]) ^ 128 if k < 27 and n < 30 else 0
    for m, k:               terms[m] += int32(x[m, k]) * -128
    for m, n < 32, k < 28:  sums[m, n] += int32(x_pad[m, k]) * int32(w_pad[k, n])
    for m, n < 30:          out[m, n] = terms[m] + sums[m, n]

The correction is exact: sums wrap modulo 2**32, so it holds for every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.hardware import Hardware
from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, Operand, anchor_contraction
from search_space.rewrites.emit import Emitter, combine, emit, reduce_axes
from search_space.rewrites.pad_axis import pad_stage
from search_space.rewrites.program import Axis, NotLiftable, Program, Stage, lift, map_loads, substitute
from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.mapping import Mapping, matches
from search_space.tensorize.pattern import Iterator, Pattern, pattern_of
from search_space.tensorize.registry import available
from search_space.tensorize.shape import group_iterator, vector_shape
from search_space.tvm_api import tirx

_OTHER_SIGN = {"int8": "uint8", "uint8": "int8"}


def fitted(func: Any, hardware: Hardware) -> Rewrite | None:
    """Change what keeps the largest reduction of a program from being computed by an intrinsic.

    Args:
        func: An unscheduled PrimFunc.
        hardware: The machine.

    Returns:
        The rewrite; None where the program fits already, or nothing makes it fit.
    """
    words: list[str] = []
    flipped = _with_other_sign(func, hardware)
    if flipped is not None:
        func = flipped
        words.append("sign")
    padded = _padded(func, hardware)
    if padded is not None:
        func = padded
        words.append("pad")
    return Rewrite("fit." + ".".join(words), func, 1.0) if words else None


def _anchor(func: Any) -> tuple[Program, Contraction] | None:
    try:
        program = lift(func)
    except NotLiftable:
        return None
    contraction = anchor_contraction(program)
    return None if contraction is None or not contraction.is_plain_product else (program, contraction)


def _padded(func: Any, hardware: Hardware) -> Any | None:
    found = _anchor(func)
    if found is None:
        return None
    program, contraction = found
    stage = contraction.stage
    for intrinsic in _candidates(stage, hardware):
        mapping = _mapping(intrinsic, stage)
        if mapping is None:
            continue
        grown = _grown(stage, mapping)
        return pad_stage(program, contraction, grown) if grown else None
    return None


def _grown(stage: Stage, mapping: Mapping) -> list[tuple[Axis, int]]:
    """Return the axes that the intrinsic's lanes and group do not divide, with their new extents."""
    shape = vector_shape(mapping.intrinsic)
    along = group_iterator(mapping)
    if shape is None or along is None:
        return []
    own = mapping.intrinsic.pattern.iterators
    wanted = ((_columns(stage), own[shape.lanes].extent), (along.var, own[shape.group].extent))
    grown: list[tuple[Axis, int]] = []
    for axis in (*stage.axes, *stage.reduction):
        step = next((s for var, s in wanted if var is not None and axis.var.same_as(var)), 1)
        if axis.extent % step:
            grown.append((axis, -(-axis.extent // step) * step))
    return grown


def _columns(stage: Stage) -> Any | None:
    """Return the variable of the axis along which the result is contiguous."""
    return next((a.var for a in reversed(stage.axes) if a.extent > 1), None)


def _mapping(intrinsic: Intrinsic, stage: Stage) -> Mapping | None:
    """Return the mapping in which the intrinsic's lanes run along the contiguous axis."""
    shape, pattern, columns = vector_shape(intrinsic), _pattern(stage), _columns(stage)
    if shape is None or pattern is None or columns is None:
        return None
    for mapping in matches(intrinsic, pattern):
        if any(i.var.same_as(columns) for i in mapping.groups[shape.lanes]):
            return mapping if group_iterator(mapping) is not None else None
    return None


def _pattern(stage: Stage) -> Pattern | None:
    iterators = [Iterator(a.var, a.extent, a.is_reduction) for a in (*stage.axes, *stage.reduction)]
    return pattern_of(iterators, stage.buffer, [a.var for a in stage.axes], stage.value)


def _candidates(stage: Stage, hardware: Hardware) -> tuple[Intrinsic, ...]:
    pattern = _pattern(stage)
    dtypes = {o.dtype for o in pattern.operands} if pattern is not None else set()
    return available(hardware.instruction_sets, dtypes)


def _with_other_sign(func: Any, hardware: Hardware) -> Any | None:
    """Flip the sign bits of the operand with the columns where both operands have the same signs."""
    found = _anchor(func)
    if found is None:
        return None
    program, contraction = found
    stage = contraction.stage
    pattern, columns = _pattern(stage), _columns(stage)
    if pattern is None or columns is None or stage.dtype != "int32":
        return None
    types = {o.dtype for o in pattern.operands}
    along = [a for a in stage.axes if a.var.same_as(columns)]
    own = [o for o in (contraction.data, contraction.weight) if o.axes(along)]
    if len(types) != 1 or not types <= _OTHER_SIGN.keys() or len(own) != 1:
        return None
    if not available(hardware.instruction_sets, _OTHER_SIGN):
        return None
    return emit(program, [(stage, lambda e: (_flipped(e, contraction, own[0]), None))])


def _flipped(emitter: Emitter, contraction: Contraction, own: Operand) -> Any:
    """Compute ``sum a*b`` as ``sum a*(b xor 128)`` less (or plus) ``128 * sum a``."""
    stage = contraction.stage
    shared = contraction.weight if own is contraction.data else contraction.data
    other = _OTHER_SIGN[str(own.direct.dtype)]
    offset = tirx.const(-128 if other == "uint8" else 128, "int32")
    bits = emitter.compute(
        [int(e) for e in own.direct.shape],
        lambda *i: tirx.reinterpret(
            other, tirx.reinterpret("uint8", emitter.read(own.direct, i)) ^ tirx.const(128, "uint8")
        ),
        f"{own.direct.name}_sign",
        is_kept=True,
    )
    rows = shared.axes(stage.axes)
    terms_loops, loops = reduce_axes(stage.reduction), reduce_axes(stage.reduction)

    def bind(index: Any, axes: Sequence[Axis], reduction: Sequence[Any]) -> list[tuple[Any, Any]]:
        bound = [(a.var, i) for a, i in zip(axes, index, strict=True)]
        return bound + [(a.var, r.var) for a, r in zip(stage.reduction, reduction, strict=True)]

    def term(*index: Any) -> Any:
        bound = bind(index, rows, terms_loops)
        element = emitter.read(shared.direct, [substitute(i, bound) for i in shared.direct_indices])
        return combine("sum", shared.cast(element) * offset, terms_loops)

    def product(*index: Any) -> Any:
        bound = bind(index, stage.axes, loops)

        def read(load: Any) -> Any:
            return (
                bits(*load.indices)
                if load.source.same_as(own.direct)
                else emitter.read(load.source, load.indices)
            )

        return combine("sum", map_loads(substitute(stage.value, bound), read), loops)

    terms = emitter.compute([a.extent for a in rows], term, f"{stage.name}_terms", [a.name for a in rows])
    names = [a.name for a in stage.axes]
    sums = emitter.compute(stage.shape, product, f"{stage.name}_sums", names)

    def total(*index: Any) -> Any:
        at = [i for i, a in zip(index, stage.axes, strict=True) if any(a is r for r in rows)]
        return terms(*at) + sums(*index)

    return emitter.compute(stage.shape, total, stage.name, names)
