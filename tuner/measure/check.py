"""Comparing outputs with the untuned program's: how far apart may two right answers be."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXACT_BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
_BASE_ULPS = 32.0
"""Room for fused multiply-adds and for polynomial exp, tanh, erf (a few parts in a million in float32)."""

_WALK_ULPS = 4.0
"""Room for the order of a sum: rounding errors of K terms grow as sqrt(K) (Higham 2002, section 4.2)."""

LONG_SUM = 1 << 16
"""Terms above which one float32 accumulator is too coarse to judge others by: the sum's last place outgrows
what is added (one accumulator is 1% off after 16 million squares of random numbers)."""

_PIECE = 1 << 15
"""Elements compared at once: three arrays of them fit the second cache level."""

_ROUNDED_DOWN = 1.0 - 1e-5
"""A bound times this is safe from being rounded up in float32."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far one output is from its reference.

    Attributes:
        max_abs_error: Largest absolute error among finite elements.
        max_rel_error: Largest error relative to the element plus the output's root mean square.
        message: Why the output is wrong; empty if it is right.
    """

    max_abs_error: float
    max_rel_error: float
    message: str


_NOISE_FACTOR = 8.0
"""A right answer may be this many times as far from the untuned program as that moves by itself."""

_MOST_NOISE = 1e-3
"""No program is taken to be less exact than this, however chaotic it is."""


def tolerance(dtype: str, reduction: float, noise: float = 0.0) -> float:
    """Return the relative error that a right answer may have.

    Args:
        dtype: TVM's name of the element type.
        reduction: Number of terms summed into one element.
        noise: How far the untuned program's own answer moves with the last bits of its inputs
            (``tuner.measure.references``).

    Returns:
        0 for integers; else ``eps * (32 + 4 sqrt(K)) + 8 noise``, relative to ``|x| + rms(x)``: a sum that
        cancels has errors on the scale of its terms, and the root mean square of the output stands for that
        scale; where that is not enough, the noise shows it.
    """
    bits = _EXACT_BITS.get(dtype)
    if bits is None:
        return 0.0 if not dtype.startswith("float8") else 0.25
    rounding = 2.0 ** (1 - bits) * (_BASE_ULPS + _WALK_ULPS * sqrt(max(reduction, 1.0)))
    return float(rounding + _NOISE_FACTOR * min(noise, _MOST_NOISE))


def compare(
    actual: NDArray[Any], expected: NDArray[Any], dtype: str, allowed: float, name: str, input_set: str
) -> Deviation:
    """Compare one output with its reference.

    NaN must meet NaN and an infinity the same infinity, except on ``extremes``, where a non-finite
    reference only asks for a non-finite answer: with another order of summation an infinity may become
    a NaN. On ``integers`` an output whose reference is whole numbers that fit the mantissa must be equal.

    Args:
        actual: What the candidate wrote.
        expected: What the reference wrote, of the same shape.
        dtype: TVM's name of the element type.
        allowed: See :func:`tolerance`.
        name: Name of the output, for the message.
        input_set: Name of the input set.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return _compare(actual, expected, dtype, allowed, name, input_set)


def _compare(
    actual: NDArray[Any], expected: NDArray[Any], dtype: str, allowed: float, name: str, input_set: str
) -> Deviation:
    quick = _plainly_right(actual, expected, allowed, input_set) if dtype == "float32" else None
    if quick is not None:
        return quick
    if np.array_equal(actual, expected):
        return Deviation(0.0, 0.0, "")
    if allowed == 0.0:
        difference = np.abs(np.subtract(actual, expected, dtype=np.float64))
        return _report(difference, difference, 0.0, actual, expected, name, input_set)
    wide: np.dtype[Any] = np.dtype("float64" if dtype == "float64" else "float32")
    found: NDArray[Any] = np.asarray(actual, dtype=wide)
    wanted: NDArray[Any] = np.asarray(expected, dtype=wide)
    finite = np.isfinite(wanted)
    is_all_finite = bool(finite.all())
    if not is_all_finite or not np.isfinite(found).all():
        mismatch = finite != np.isfinite(found)
        if input_set != "extremes":
            both = ~finite & ~mismatch
            mismatch |= both & ~((found == wanted) | (np.isnan(found) & np.isnan(wanted)))
        if mismatch.any():
            place = tuple(int(i) for i in np.argwhere(mismatch)[0])
            return Deviation(
                float("inf"),
                float("inf"),
                f"output {name} on {input_set} inputs: {int(mismatch.sum())} of {mismatch.size} elements are "
                f"not finite or not written, the first at {place}: {found[place]}, expected {wanted[place]}",
            )
        found = np.where(finite, found, 0.0).astype(wide)
        wanted = np.where(finite, wanted, 0.0).astype(wide)
    difference = np.abs(found - wanted)
    magnitude: NDArray[Any] = np.abs(wanted)
    if input_set == "integers" and _is_exact(wanted, dtype):
        return _report(difference, difference, 0.0, actual, expected, name, input_set)
    scale = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))) if wanted.size else 0.0
    magnitude += scale
    np.maximum(magnitude, np.finfo(wide).tiny, out=magnitude)
    return _report(difference, difference / magnitude, allowed, actual, expected, name, input_set)


def _plainly_right(
    actual: NDArray[Any], expected: NDArray[Any], allowed: float, input_set: str
) -> Deviation | None:
    """Do the common case piece by piece within the cache; ``None`` leaves the judgement to the slow way."""
    found, wanted = actual.reshape(-1), expected.reshape(-1)
    squares = 0.0
    for start in range(0, wanted.size, _PIECE):
        piece = wanted[start : start + _PIECE]
        squares += float(np.dot(piece, piece))
    if not squares < float("inf"):
        return None
    scale = sqrt(squares / max(1, wanted.size))
    worst_abs = worst_rel = 0.0
    for start in range(0, wanted.size, _PIECE):
        piece = wanted[start : start + _PIECE]
        difference = found[start : start + _PIECE] - piece
        np.abs(difference, out=difference)
        largest = float(difference.max())
        if not largest < float("inf") or (input_set == "integers" and largest > 0.0):
            return None
        worst_abs = max(worst_abs, largest)
        # Relative to an element's size plus the scale, few errors can exceed the largest so far.
        least = worst_rel * scale * _ROUNDED_DOWN
        if not largest > least:
            continue
        places = np.flatnonzero(difference > least)
        sizes = np.maximum(np.abs(piece[places]) + np.float32(scale), np.finfo(np.float32).tiny)
        worst_rel = max(worst_rel, float((difference[places] / sizes).max()))
        if not worst_rel <= allowed:
            return None
    return Deviation(worst_abs, worst_rel, "")


def _is_exact(wanted: NDArray[Any], dtype: str) -> bool:
    largest = float(np.abs(wanted).max(initial=0.0))
    return largest < 2.0 ** _EXACT_BITS.get(dtype, 0) and bool((wanted == np.rint(wanted)).all())


def _report(
    difference: NDArray[Any],
    relative: NDArray[Any],
    allowed: float,
    actual: NDArray[Any],
    expected: NDArray[Any],
    name: str,
    input_set: str,
) -> Deviation:
    worst = float(relative.max(initial=0.0))
    message = ""
    if worst > allowed:
        place = tuple(int(i) for i in np.unravel_index(int(relative.argmax()), relative.shape))
        wrong = int((relative > allowed).sum())
        message = (
            f"output {name} on {input_set} inputs: {wrong} of {relative.size} elements are wrong, the worst "
            f"at {place}: {actual[place]}, expected {expected[place]} "
            f"(error {worst:.3g}, allowed {allowed:.3g})"
        )
    return Deviation(float(difference.max(initial=0.0)), worst, message)
