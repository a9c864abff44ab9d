"""Polynomial fits with the smallest largest weighted error: where the coefficients come from.

C. L. Lawson's iteration (thesis, UCLA 1961): a least-squares fit whose weights are multiplied by
the size of the error until the error is level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def chebyshev_points(low: float, high: float, count: int = 4000) -> Floats:
    """Return points that crowd towards both ends of an interval, [count]."""
    angle = (np.arange(count) + 0.5) / count * np.pi
    return low + (high - low) * (1.0 - np.cos(angle)) / 2.0


def fit_polynomial(
    points: Floats, values: Floats, weights: Floats, degree: int, iterations: int = 300
) -> tuple[Floats, float]:
    """Fit a polynomial so that ``max(weights * |p - values|)`` is as small as possible.

    Args:
        points: [N] arguments.
        values: [N] function values.
        weights: [N] what an error of 1 counts at each point.
        degree: Degree of the polynomial.
        iterations: Number of reweighted least-squares fits.

    Returns:
        Coefficients from the constant upwards [degree + 1], and the largest weighted error.
    """
    system = np.vander(points, degree + 1, increasing=True) * weights[:, None]
    target = values * weights
    importance = np.ones_like(points)
    best_error = np.inf
    best: Floats = np.zeros(degree + 1)
    for _ in range(iterations):
        root = np.sqrt(importance)
        solution = np.linalg.lstsq(system * root[:, None], target * root, rcond=None)[0]
        coefficients = np.asarray(solution, dtype=np.float64)
        error = np.abs(system @ coefficients - target)
        if error.max() < best_error:
            best_error, best = float(error.max()), coefficients
        importance = importance * (error / error.max() + 1e-3)
        importance /= importance.sum()
    return best, best_error
