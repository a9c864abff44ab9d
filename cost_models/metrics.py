"""How good a ranking is: the figures that papers on cost models report.

All functions take scores (higher is better) and times of candidates of one task; candidates that
failed have the time ``nan`` and count as the slowest. Sources: pairwise accuracy and recall@k as in
Ansor (OSDI'20, section 7.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cost_models.base import Vector


def pairwise_accuracy(scores: ArrayLike, seconds: ArrayLike) -> float:
    """Return the fraction of pairs of unequal times that the scores order rightly; ties count half.

    Args:
        scores: [N], higher is better.
        seconds: [N] times; ``nan`` for failures.

    Returns:
        A number from 0 to 1; 0.5 if there is no such pair.
    """
    scores, seconds = _checked(scores, seconds)
    faster = seconds[:, None] < seconds[None, :]
    pairs = int(faster.sum())
    if not pairs:
        return 0.5
    difference = scores[:, None] - scores[None, :]
    right = (difference > 0)[faster].sum() + 0.5 * (difference == 0)[faster].sum()
    return float(right) / pairs


def recall_at(scores: ArrayLike, seconds: ArrayLike, count: int) -> float:
    """Return how many of the ``count`` fastest candidates are among the ``count`` best scores.

    Args:
        scores: [N], higher is better.
        seconds: [N] times; ``nan`` for failures.
        count: Size of both sets; at most N is used.

    Returns:
        A fraction from 0 to 1.
    """
    scores, seconds = _checked(scores, seconds)
    count = _count(count, len(scores))
    fastest = np.argsort(seconds, kind="stable")[:count]
    return len(np.intersect1d(fastest, _best(scores, count))) / count


def best_of_top(scores: ArrayLike, seconds: ArrayLike, count: int) -> float:
    """Return the fastest time of all over the fastest among the ``count`` best scores.

    Args:
        scores: [N], higher is better.
        seconds: [N] times; ``nan`` for failures.
        count: How many candidates would be measured.

    Returns:
        A fraction from 0 (all of them failed) to 1 (the fastest is among them).
    """
    scores, seconds = _checked(scores, seconds)
    found = seconds[_best(scores, _count(count, len(scores)))].min()
    if not np.isfinite(found):
        return 0.0
    return float(seconds.min() / found)


def spearman(scores: ArrayLike, seconds: ArrayLike) -> float:
    """Return the rank correlation of scores with speed, from -1 to 1; 0 if either is constant."""
    scores, seconds = _checked(scores, seconds)
    first, second = _ranks(scores), _ranks(-seconds)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def summary(scores: ArrayLike, seconds: ArrayLike, groups: NDArray[np.int64]) -> dict[str, float]:
    """Average all figures over tasks.

    Args:
        scores: [N], higher is better within a task.
        seconds: [N] times; ``nan`` for failures.
        groups: [N] task of each candidate; tasks of fewer than two candidates are left out.

    Returns:
        ``pairwise_accuracy``, ``recall_at_30``, ``best_of_top_8``, ``spearman`` and ``tasks``.
    """
    scores, seconds = np.asarray(scores, float), np.asarray(seconds, float)
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rows = [chosen for chosen in rows if len(chosen) > 1]
    if not rows:
        raise ValueError("summary: no task has two candidates")
    return {
        "pairwise_accuracy": float(np.mean([pairwise_accuracy(scores[r], seconds[r]) for r in rows])),
        "recall_at_30": float(np.mean([recall_at(scores[r], seconds[r], 30) for r in rows])),
        "best_of_top_8": float(np.mean([best_of_top(scores[r], seconds[r], 8) for r in rows])),
        "spearman": float(np.mean([spearman(scores[r], seconds[r]) for r in rows])),
        "tasks": float(len(rows)),
    }


def _checked(scores: ArrayLike, seconds: ArrayLike) -> tuple[Vector, Vector]:
    first, second = np.asarray(scores, float), np.asarray(seconds, float)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(
            f"scores {first.shape} and seconds {second.shape}: expected two equal, non-empty rows"
        )
    return first, np.where(np.isnan(second), np.inf, second)


def _count(count: int, size: int) -> int:
    if count < 1:
        raise ValueError(f"count={count}: expected at least 1")
    return min(count, size)


def _best(scores: Vector, count: int) -> NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")[:count]


def _ranks(values: Vector) -> Vector:
    """Return ranks with ties averaged."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse])
