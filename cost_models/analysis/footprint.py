"""Distinct elements and cache lines that one buffer touches below every cut of a nest.

Notation of FACTS: R(b, l) is the region of buffer b below depth l. Here a dimension touches
``min(shape, 1 + sum |c| (E - 1), prod E)`` values, which also counts strided and split accesses
exactly; a region costs as many lines as its rows do, or as its bounding boxes in flattened
memory do where whole rows are covered, whichever is less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.loops import Buffer, Loops, Row, Scalar, Term

_SETS = 64
"""Sets of a first-level cache (32 KiB, 8 ways, lines of 64 bytes); larger caches have a multiple."""
_FREE_WAYS = 2.0
"""Lines a set that a buffer may take before its uneven use of the sets counts."""
_RowLevel = tuple[int, Scalar, "NDArray[np.bool_] | None"]
"""A dimension, its stride in lines, and for which candidates rows of it count (``None``: all)."""

_LONG_ROW_LINES = 8
"""Rows of this many lines are counted one by one; rounding them up costs at most an eighth."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one buffer touches below every cut.

    Attributes:
        elements: L + 1 values, outermost cut first; [N] distinct elements.
        lines: L + 1 values; [N] distinct cache lines.
        occupied: L + 1 values; [N] lines that they cost a set-associative cache: rows a large power of
            two apart share few sets, and the rest of the cache is of no use to them.
    """

    elements: tuple[Scalar, ...]
    lines: tuple[Scalar, ...]
    occupied: tuple[Scalar, ...]


def footprint_of(buffer: Buffer, loops: Loops, line_bytes: int) -> Footprint:
    """Count elements and lines below every cut in one pass from the inner to the outer loop.

    Args:
        buffer: The access.
        loops: Its nest.
        line_bytes: Size of a cache line.

    Returns:
        Counts for cuts 0 (everything) to L (one body execution).
    """
    dimensions = len(buffer.shape)
    box: list[Scalar] = [1.0] * dimensions
    count: list[Scalar] = [1.0] * dimensions
    touched: list[Scalar] = [1.0] * dimensions
    rows = _row_levels(buffer, line_bytes)
    elements: list[Scalar] = [1.0]
    lines: list[Scalar] = [1.0]
    occupied: list[Scalar] = [1.0]
    shared = _sets_between_rows(buffer, rows, line_bytes)
    for loop in range(loops.depth - 1, -1, -1):
        terms = buffer.terms[loop]
        if not terms:
            elements.append(elements[-1])
            lines.append(lines[-1])
            occupied.append(occupied[-1])
            continue
        extent = loops.extents[loop]
        more = extent - np.float32(1.0)
        for term in terms:
            dimension = term.dimension
            box[dimension] = box[dimension] + term.step * more
            count[dimension] = count[dimension] * _factor(extent, more, term)
            inside = np.minimum(box[dimension], buffer.shape[dimension])
            touched[dimension] = np.minimum(inside, count[dimension])
        new_elements, new_lines = _regions(buffer, box, touched, rows)
        elements.append(new_elements)
        lines.append(new_lines)
        taken = new_lines
        if shared is not None:
            run = np.ceil(np.minimum(box[-1], buffer.shape[-1]) * (buffer.element_bytes / line_bytes))
            usable = np.minimum(_SETS, run * np.minimum(new_lines / run, _SETS / shared))
            crowded = new_lines > _FREE_WAYS * usable
            taken = np.where(crowded, new_lines * (_SETS / usable), new_lines)
        occupied.append(np.maximum(taken, occupied[-1]))
    return Footprint(tuple(reversed(elements)), tuple(reversed(lines)), tuple(reversed(occupied)))


@dataclass(frozen=True, slots=True)
class Region:
    """What one buffer touches below one cut.

    Attributes:
        elements: [N] distinct elements.
        lines: [N] distinct lines or pages.
        run: [N] elements from one gap in memory to the next.
    """

    elements: Row
    lines: Row
    run: Row


def region_below(buffer: Buffer, loops: Loops, extents: NDArray[np.float32], line_bytes: int) -> Region:
    """Count at one cut for each candidate.

    Args:
        buffer: The access.
        loops: Its nest.
        extents: [L, N] trip counts, with 1 for the loops outside of the cut.
        line_bytes: Size of a line, or of a page.

    Returns:
        The counts.
    """
    one = np.ones(loops.size, np.float32)
    box: list[Scalar] = [1.0] * len(buffer.shape)
    count: list[Scalar] = [1.0] * len(buffer.shape)
    for loop, terms in enumerate(buffer.terms):
        if not terms:
            continue
        more = extents[loop] - np.float32(1.0)
        for term in terms:
            dimension = term.dimension
            box[dimension] = box[dimension] + term.step * more
            count[dimension] = count[dimension] * _factor(extents[loop], more, term)
    length = [np.minimum(b, s) for b, s in zip(box, buffer.shape, strict=True)]
    touched: list[Scalar] = [np.minimum(b, c) for b, c in zip(length, count, strict=True)]
    levels = _row_levels(buffer, line_bytes)
    elements, lines = _regions(buffer, box, touched, levels)
    run: Row = one
    whole: Row = one
    for dimension in range(len(buffer.shape) - 1, -1, -1):
        dense = whole * (touched[dimension] >= length[dimension])
        run = run * (np.float32(1.0) + dense * (length[dimension] - np.float32(1.0)))
        whole = dense * (length[dimension] >= buffer.shape[dimension])
    return Region(elements * one, lines * one, run)


def _sets_between_rows(buffer: Buffer, levels: list[_RowLevel], line_bytes: int) -> Scalar | None:
    """Return how many sets lie between neighbouring rows, as the power of two that they share.

    Returns:
        [N] 1 where rows spread over all sets, up to 64 where all rows fall into one; ``None`` where no
        candidate's rows are a multiple of two lines apart.
    """
    if len(buffer.shape) < 2 or not levels:
        return None
    stride = np.asarray(buffer.strides[-2], np.float64) * buffer.element_bytes / line_bytes
    whole = stride == np.floor(stride)
    shared = np.where(whole, np.gcd(np.floor(np.maximum(stride, 1)).astype(np.int64), _SETS), 1)
    if shared.max() <= 1:
        return None
    return float(shared) if shared.ndim == 0 else shared.astype(np.float32)


def _factor(extent: Row, more: Row, term: Term) -> Row:
    return extent if term.applies is None else np.asarray(np.float32(1.0) + term.applies * more)


def _row_levels(buffer: Buffer, line_bytes: int) -> list[_RowLevel]:
    """Return each way to cut the buffer into rows worth trying."""
    levels: list[_RowLevel] = []
    applies: NDArray[np.bool_] | None = None
    for dimension in range(len(buffer.shape) - 1, -1, -1):
        stride = buffer.strides[dimension] * (buffer.element_bytes / line_bytes)
        is_inner = dimension < len(buffer.shape) - 1
        if isinstance(stride, float):
            if stride >= _LONG_ROW_LINES or (is_inner and stride.is_integer()):
                break
        else:
            here = stride < _LONG_ROW_LINES
            if is_inner:
                here &= stride != np.floor(stride)
            applies = here if applies is None else applies & here
            if not applies.any():
                break
        levels.append((dimension, stride, applies))
    return levels


def _regions(
    buffer: Buffer,
    box: list[Scalar],
    touched: list[Scalar],
    levels: list[_RowLevel],
) -> tuple[Scalar, Scalar]:
    if not touched:
        return 1.0, 1.0
    prefix: list[Scalar] = [1.0]
    for value in touched:
        prefix.append(value if isinstance(prefix[-1], float) and prefix[-1] == 1.0 else prefix[-1] * value)
    elements = prefix[-1]
    lines: Scalar = elements
    for dimension, stride, applies in levels:
        length = np.minimum(box[dimension], buffer.shape[dimension])
        fewer = np.minimum(lines, prefix[dimension] * np.ceil(length * stride))
        lines = fewer if applies is None else np.where(applies, fewer, lines)
    return elements, lines
