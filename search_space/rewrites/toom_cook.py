"""Transforms of minimal filtering, F(m, r): m results of a filter with r taps by m + r - 1 products.

The Toom-Cook algorithm evaluates two polynomials at m + r - 1 points, multiplies, and interpolates;
its transpose is a correlation (S. Winograd, *Arithmetic complexity of computations*, 1980)::

    results = A^T [(G taps) * (B^T data)]

Rows of B^T are scaled to whole numbers, and G has what that leaves, because data are transformed at
every call and weights are not. Points are small numbers and their opposites: large ones cost accuracy
(B. Barabasz et al., *Error analysis and improving the accuracy of Winograd convolution*, 2018), and
rows of opposite points share their terms of even and of odd degree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import lcm

Matrix = tuple[tuple[float, ...], ...]

_HALF = Fraction(1, 2)
POINTS: tuple[Fraction, ...] = (
    Fraction(0),
    Fraction(1),
    Fraction(-1),
    Fraction(2),
    Fraction(-2),
    _HALF,
    -_HALF,
)
"""F(m, r) takes the first m + r - 2, and infinity."""
TOLERANCE = {3: 2.0, 4: 2.0, 5: 8.0, 6: 16.0, 7: 16.0, 8: 32.0}
"""How much larger than that of a plain sum the rounding error may be, by m + r - 1. Measured against
double precision, two-dimensional, 12 to 64 channels, largest of 200 tiles: 0.7, 0.7, 3.8, 9.4, 9, 20."""


@dataclass(frozen=True, slots=True)
class Matrices:
    """The three transforms for tiles of one size, and what they cost in accuracy.

    Attributes:
        data: B^T, [m + r - 1, m + r - 1].
        weight: G, [m + r - 1, r].
        result: A^T, [m, m + r - 1].
        tolerance_scale: How much larger a rounding error is allowed.
    """

    data: Matrix
    weight: Matrix
    result: Matrix
    tolerance_scale: float


@lru_cache(maxsize=64)
def minimal_filter(results: int, taps: int) -> Matrices:
    """Return the transforms of F(results, taps).

    Args:
        results: Results of a tile, at least 2.
        taps: Taps of the filter, at least 2.

    Returns:
        The matrices.

    Raises:
        ValueError: If more points are needed than are known to be accurate enough.
    """
    size = results + taps - 1
    if results < 2 or taps < 2 or size not in TOLERANCE:
        raise ValueError(f"F({results}, {taps}): needs {size} points, known are {sorted(TOLERANCE)}")
    points = POINTS[: size - 1]
    data: list[Sequence[Fraction]] = []
    weight: list[Sequence[Fraction]] = []
    for point in points:
        others = [p for p in points if p != point]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        row = _polynomial(others)
        whole = lcm(*(c.denominator for c in row))
        data.append([c * whole for c in (*row, Fraction(0))])
        weight.append([point**k / scale / whole for k in range(taps)])
    last = _polynomial(points)
    whole = lcm(*(c.denominator for c in last))
    data.append([c * whole for c in last])
    weight.append([Fraction(0)] * (taps - 1) + [Fraction(1, whole)])
    result = [[*(p**i for p in points), Fraction(i == results - 1)] for i in range(results)]
    return Matrices(_floats(data), _floats(weight), _floats(result), TOLERANCE[size])


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients of the product of (x - root), the constant first."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        found = [s - root * c for s, c in zip(shifted, [*found, Fraction(0)], strict=True)]
    return found


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(float(c) for c in row) for row in rows)
