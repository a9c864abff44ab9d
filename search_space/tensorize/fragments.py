"""Where the instruction ``mma.sync`` wants the elements of a fragment: in which lane, in which register.

A fragment of 16 x 16 results is two instructions m16n8kK. Four bytes hold W elements of a factor (2 of
float16 and bfloat16, 1 of float32, 4 of int8); one instruction adds K = 8 W terms. (PTX ISA, "Warp-level
matrix instructions", the figures of m16n8k8, m16n8k16 and m16n8k32.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EDGE = 16
"""Rows and columns of one fragment of results."""
LANES = 32

Place = Callable[[Any, Any], tuple[Any, Any]]
"""Row and column within a fragment to lane and element of the lane."""


def place_rows(word: int) -> Place:
    """Place the first factor: row m, term k."""

    def place(m: Any, k: Any) -> tuple[Any, Any]:
        lane = m % 8 * 4 + k % (4 * word) // word
        return lane, k // (4 * word) * (2 * word) + m // 8 * word + k % word

    return place


def place_columns(word: int) -> Place:
    """Place the second factor: column n, term k."""

    def place(n: Any, k: Any) -> tuple[Any, Any]:
        lane = n % 8 * 4 + k % (4 * word) // word
        return lane, n // 8 * (2 * word) + k // (4 * word) * word + k % word

    return place


def place_sums(m: Any, n: Any) -> tuple[Any, Any]:
    """Place the results: row m, column n."""
    return m % 8 * 4 + n % 8 // 2, n // 8 * 4 + m // 8 * 2 + n % 2


def sum_at(lane: Any, element: Any) -> tuple[Any, Any]:
    """Return row and column of a result, the inverse of :func:`place_sums`."""
    return lane // 4 + element // 2 % 2 * 8, element // 4 * 8 + lane % 4 * 2 + element % 2


def row_at(word: int) -> Place:
    """Return the inverse of :func:`place_rows`: lane and element to row and term."""

    def at(lane: Any, element: Any) -> tuple[Any, Any]:
        m = lane // 4 + element // word % 2 * 8
        return m, element // (2 * word) * (4 * word) + lane % 4 * word + element % word

    return at


def column_at(word: int) -> Place:
    """Return the inverse of :func:`place_columns`: lane and element to column and term."""

    def at(lane: Any, element: Any) -> tuple[Any, Any]:
        n = lane // 4 + element // (2 * word) * 8
        return n, element // word % 2 * (4 * word) + lane % 4 * word + element % word

    return at


def swapped(place: Place) -> Place:
    """Return the place of a matrix that is indexed the other way round."""

    def other(first: Any, second: Any) -> tuple[Any, Any]:
        return place(second, first)

    return other
