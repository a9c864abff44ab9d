"""Cut long rows into pieces that stay in the first cache level from one step of a computation to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.rewrites.emit import Layout
from search_space.rewrites.program import Axis, substitute
from search_space.tvm_api import tirx

MIN_ROW = 8192
"""Shorter rows stay in the first cache level as a whole: pieces only add work there."""
PIECE = 1024
"""Most elements of a piece: operand, result and partial sums of one take 8 to 12 KiB."""
MIN_PIECE = 256
"""Shorter pieces have too much to do between them."""


def piece_of(extent: int, lanes: int) -> int | None:
    """Return the length of the pieces of a row.

    Args:
        extent: Elements of the row.
        lanes: Elements of one vector.

    Returns:
        The largest suitable divisor that is a multiple of the lanes; None if there is none, or if the row
        is short.
    """
    if extent < MIN_ROW:
        return None
    lengths = range(PIECE, MIN_PIECE - 1, -lanes)
    return next((length for length in lengths if extent % length == 0), None)


def pieces_layout(axes: Sequence[Axis], piece: int) -> Layout:
    """Return the layout in which the last axis of a tensor is two: which piece, and where in it."""
    shape = (*(a.extent for a in axes[:-1]), axes[-1].extent // piece, piece)
    names = (*(a.name for a in axes[:-1]), "piece", axes[-1].name)

    def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*index[:-1], tirx.floordiv(index[-1], piece), tirx.floormod(index[-1], piece))

    def to_old(index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*index[:-2], index[-2] * piece + index[-1])

    return Layout(shape, names, to_new, to_old)


def at_row(expression: Any, axes: Sequence[Axis], index: Sequence[Any]) -> Any:
    """Write an expression on axes with other indices."""
    return substitute(expression, [(a.var, i) for a, i in zip(axes, index, strict=True)])
