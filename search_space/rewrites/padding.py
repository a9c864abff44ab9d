"""Read an operand without conditions: from a copy with enough zeros around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search_space.rewrites.contraction import Contraction, Operand
from search_space.rewrites.emit import Emitter, guarded
from search_space.rewrites.program import constant, substitute
from search_space.tvm_api import tirx


def padded_reader(
    emitter: Emitter,
    operand: Operand,
    ranges: Mapping[int, tuple[int, int]],
    name: str,
    is_kept: bool = False,
    is_joined: bool = False,
) -> Callable[[Sequence[Any]], Any]:
    """Return a function that reads an operand's buffer, zeros outside of it included.

    Args:
        emitter: Where a padding stage is added, if one is needed.
        operand: What to read.
        ranges: For some dimensions the smallest and the largest coordinate that will be read.
        name: Name of the padding stage.
        is_kept: Whether the copy shall not be inlined into what reads it.
        is_joined: Whether the last two dimensions are one in the copy: rows of few channels are then
            copied by whole vectors. The last dimension is not padded.

    Returns:
        Index into the buffer (it may exceed the buffer within ``ranges``) to element.
    """
    front = [max(0, -ranges[d][0]) if d in ranges else 0 for d in range(len(operand.shape))]
    back = [max(0, ranges[d][1] + 1 - extent) if d in ranges else 0 for d, extent in enumerate(operand.shape)]
    if not any(front) and not any(back):
        return lambda index: emitter.read(operand.buffer, index)

    width = operand.shape[-1] if is_joined else 1

    def copy(*index: Any) -> Any:
        unit = [*[1] * (len(index) - 1), width]
        conditions = [index[d] >= front[d] * unit[d] for d in range(len(index)) if front[d]]
        inside = [(d, operand.shape[d]) for d in range(len(index)) if back[d]]
        conditions += [index[d] < (front[d] + extent) * unit[d] for d, extent in inside]
        source = [i - f * u if f else i for i, f, u in zip(index, front, unit, strict=False)]
        if is_joined:
            source[-1:] = [tirx.floordiv(source[-1], width), tirx.floormod(source[-1], width)]
        return guarded(conditions, emitter.read(operand.buffer, source), operand.dtype)

    shape = [f + e + b for f, e, b in zip(front, operand.shape, back, strict=True)]
    shape = [*shape[:-2], shape[-2] * width] if is_joined else shape
    tensor = emitter.compute(shape, copy, name, is_kept=is_kept)

    def read(index: Sequence[Any]) -> Any:
        moved = [i + f if f else i for i, f in zip(index, front, strict=True)]
        return tensor(*moved[:-2], moved[-2] * width + moved[-1]) if is_joined else tensor(*moved)

    return read


def guarded_element(emitter: Emitter, operand: Operand, replacements: Sequence[tuple[Any, Any]]) -> Any:
    """Return the operand's element, zero where its conditions fail, for replaced iterators."""
    conditions = [substitute(c, replacements) for c in operand.conditions]
    index = [substitute(i, replacements) for i in operand.indices]
    return guarded(conditions, emitter.read(operand.buffer, index), operand.dtype)


def is_regular(contraction: Contraction) -> bool:
    """Report whether every condition on the data is a border (or zero-insertion) of a window."""
    data = contraction.data
    return not data.conditions or any(d is not None for d in data.dims)


def window_index(contraction: Contraction, d: int, replacements: Sequence[tuple[Any, Any]]) -> Any:
    """Return the data's index in one dimension with iterators replaced, conditions left out."""
    dim = contraction.data.dims[d]
    if dim is None or dim.divisor != 1 or not dim.is_window:
        return substitute(contraction.data.indices[d], replacements)
    assert dim.spatial is not None
    index = _scaled(substitute(dim.spatial.var, replacements), dim.stride)
    if dim.tap is not None:
        index = index + _scaled(substitute(dim.tap.var, replacements), dim.dilation)
    return index + dim.offset if dim.offset else index


def _scaled(value: Any, factor: int) -> Any:
    known = constant(value) if not hasattr(value, "name") else None
    if known is not None:
        return known * factor
    return value if factor == 1 else value * factor


def window_range(contraction: Contraction, d: int, extent: int | None = None) -> tuple[int, int]:
    """Return the smallest and largest coordinate that an undivided window reads.

    Args:
        contraction: The contraction.
        d: A window dimension of its data.
        extent: Number of output positions, if another than now.
    """
    dim = contraction.data.dims[d]
    assert dim is not None and dim.spatial is not None and dim.divisor == 1
    corners = [
        dim.stride * h + (dim.dilation * r if dim.tap is not None else 0) + dim.offset
        for h in (0, (extent or dim.spatial.extent) - 1)
        for r in (0, dim.tap.extent - 1 if dim.tap is not None else 0)
    ]
    return min(corners), max(corners)
