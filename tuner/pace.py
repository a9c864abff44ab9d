"""How large the next batch may be, how long the rest of a run takes, and what it may still gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, log

from tuner.scheduler import TaskCurve

TRIAL_SECONDS = 0.4
"""Wall time of a trial before any was measured: what two cores needed for matmuls and convolutions."""
_WINDOW = 3
"""Batches of a task whose gains are extrapolated."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a run stands.

    Attributes:
        trials: Trials to spend over all sessions, or None.
        seconds: Wall time to spend on the search, or None.
        spent: Trials spent, earlier sessions included.
        measured: Those of this session.
        elapsed_seconds: Wall time of this session.
    """

    trials: int | None
    seconds: float | None
    spent: int
    measured: int
    elapsed_seconds: float

    @property
    def trial_seconds(self) -> float:
        """Wall time of a trial, all that belongs to it included."""
        return self.elapsed_seconds / self.measured if self.measured else TRIAL_SECONDS

    @property
    def trials_left(self) -> float:
        """Trials that the budget allows, by count and by time; infinite without a budget."""
        left = [float("inf")]
        if self.trials is not None:
            left.append(max(0, self.trials - self.spent))
        if self.seconds is not None:
            left.append(max(0.0, self.seconds - self.elapsed_seconds) / max(self.trial_seconds, 1e-9))
        return min(left)

    def batch(self, largest: int, fresh: int) -> int:
        """Return the size of the next batch.

        Args:
            largest: Trials between two updates of the model.
            fresh: Tasks that wait for their first batch: every one of them must get its share.
        """
        left = self.trials_left
        share = left / fresh if fresh else left
        size = min(largest, max(1, int(min(share, largest))))
        return size if self.trials is None else max(1, min(size, self.trials - self.spent))

    @property
    def remaining_seconds(self) -> float | None:
        """Forecast of the wall time until the budget is spent; None before anything was measured."""
        left = self.trials_left
        return left * self.trial_seconds if self.measured and isfinite(left) else None


def gain_of(tasks: Sequence[TaskCurve], growth: float) -> float | None:
    """Forecast by how much more trials would make the tasks faster.

    The k-th batch of a task is taken to gain in proportion to 1 / k, as the best of k random draws does; the
    factor is the mean over its last batches. The first batch does not count: it starts from untuned.

    Args:
        tasks: Their best times so far.
        growth: Trials of every task at the end of the forecast over those until now.

    Returns:
        Part of the tasks' time, by calls, that would be saved; None before a second batch.
    """
    now = later = 0.0
    is_known = False
    for task in tasks:
        if not task.best or not isfinite(task.best[-1]):
            continue
        weight = sum(task.calls) * task.best[-1]
        gains = _gains(task.best)
        is_known = is_known or bool(gains)
        rate = 0.0 if task.exhausted or not gains else sum(gains) / len(gains)
        now += weight
        later += weight * exp(-rate * log(growth))
    return 1.0 - later / now if is_known and now > 0 else None


def _gains(best: Sequence[float]) -> list[float]:
    """Return batch number times gained logarithm, of the last batches after the first with a time."""
    found = [
        number * log(before / after)
        for number, (before, after) in enumerate(pairwise(best), 2)
        if isfinite(before) and after > 0
    ]
    return [max(0.0, gain) for gain in found[-_WINDOW:]]
