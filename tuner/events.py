"""What a run reports while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """One task at one moment.

    Attributes:
        name: Readable name.
        weight: Calls in one run of every model.
        flops: Operations of one call.
        trials: Measurements spent on it, earlier sessions included.
        failed: Those of them that failed.
        baseline_seconds: Time of the untuned program, or None where it could not be timed.
        baseline_is_lower_bound: Whether the untuned program was stopped before it ended.
        best_seconds: Best confirmed time, or None.
        state: ``waiting``, ``opening``, ``searching``, ``measuring``, ``done``.
    """

    name: str
    weight: int
    flops: float
    trials: int
    failed: int
    baseline_seconds: float | None
    baseline_is_lower_bound: bool
    best_seconds: float | None
    state: str

    @property
    def best_gflops(self) -> float | None:
        """Rate of the best time."""
        return None if self.best_seconds is None else self.flops / self.best_seconds / 1e9

    @property
    def speedup(self) -> float | None:
        """Untuned time over best time."""
        if self.best_seconds is None or self.baseline_seconds is None:
            return None
        return self.baseline_seconds / self.best_seconds


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run at one moment.

    Attributes:
        tasks: One entry a task.
        trials: Measurements spent over all tasks.
        trials_total: Budget, or None where only time limits the run.
        elapsed_seconds: Wall time so far.
        remaining_seconds: Forecast, or None where nothing is known yet.
        search_seconds: Time spent proposing and learning.
        build_seconds: Wall time in which candidates were built (several at once).
        run_seconds: Wall time in which candidates ran and were checked.
        message: What was just noticed, or an empty text.
    """

    tasks: tuple[TaskProgress, ...]
    trials: int
    trials_total: int | None
    elapsed_seconds: float
    remaining_seconds: float | None
    search_seconds: float
    build_seconds: float
    run_seconds: float
    message: str = ""


Listener = Callable[[RunProgress], None]


def ignore(progress: RunProgress) -> None:
    """Listen to nothing."""
