"""Telling an effect from noise: ratios of geometric means with intervals from the scatter of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

from scipy.stats import t as student

Times = Mapping[str, Sequence[float]]
"""Seconds by operator, one entry a seed."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Effect:
    """How many times slower something is.

    Attributes:
        ratio: Ratio of the geometric means over operators and seeds.
        low: Lower end of its 95% interval; None where one seed leaves nothing to judge by.
        high: Upper end.
    """

    ratio: float
    low: float | None
    high: float | None


def scatter(cells: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Pool the variance of the logarithms within cells.

    Args:
        cells: Seconds of equal runs that differ in their seed; as many cells as there are.

    Returns:
        The variance of one run's logarithm, and the degrees of freedom that it rests on (0: it is unknown).
    """
    squares, freedom = 0.0, 0
    for cell in cells:
        logs = [log(value) for value in cell]
        if len(logs) > 1:
            mean = sum(logs) / len(logs)
            squares += sum((value - mean) ** 2 for value in logs)
            freedom += len(logs) - 1
    return (squares / freedom if freedom else 0.0), freedom


def effect(without: Times, whole: Times, variance: float, freedom: int) -> Effect | None:
    """Compare two variants on the operators that both have.

    Every operator counts alike, however many seeds it has. The operators are those that were asked for:
    the interval says how well the ratio is known for them, not for others.

    Args:
        without: Seconds of the variant in question.
        whole: Seconds of what it is compared with.
        variance: Of the logarithm of one run, see :func:`scatter`.
        freedom: Its degrees of freedom.

    Returns:
        The ratio, above 1 where ``without`` is slower; None if they share no operator.
    """
    shared = [name for name in without if without[name] and whole.get(name)]
    if not shared:
        return None
    difference = sum(_mean_log(without[name]) - _mean_log(whole[name]) for name in shared) / len(shared)
    if not freedom:
        return Effect(exp(difference), None, None)
    terms = sum(1 / len(without[name]) + 1 / len(whole[name]) for name in shared)
    half = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * sqrt(variance * terms) / len(shared)
    return Effect(exp(difference), exp(difference - half), exp(difference + half))


def _mean_log(values: Sequence[float]) -> float:
    return sum(map(log, values)) / len(values)
