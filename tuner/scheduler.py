"""Which task gets the next batch: gradients of the objective (Ansor section 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.objective import Objective, ObjectiveInput, Vector

BACKWARD_WEIGHT = 0.2
SIMILARITY_FACTOR = 2.0
BACKWARD_WINDOW = 3
EXPLORE = 0.05
STALL_BATCHES = 6
STALL_GAIN = 0.01


@dataclass(slots=True)
class TaskCurve:
    """What the scheduler knows of one task.

    Attributes:
        flops: Operations of one call.
        calls: [M] calls by each model.
        family: Tasks of one family are similar (same kind of anchor).
        best: Best seconds after each batch, oldest first.
        exhausted: Whether its space has nothing left to propose.
    """

    flops: float
    calls: tuple[float, ...]
    family: str
    best: list[float] = field(default_factory=list)
    exhausted: bool = False

    @property
    def batches(self) -> int:
        """Batches spent."""
        return len(self.best)

    @property
    def is_stalled(self) -> bool:
        """Whether the last batches brought less than one per cent."""
        if self.batches <= STALL_BATCHES:
            return False
        before, now = self.best[-1 - STALL_BATCHES], self.best[-1]
        return bool(np.isfinite(before)) and before - now < STALL_GAIN * before


class GradientScheduler:
    """Gives every task one batch first, then the task whose batch promises the largest gain.

    Args:
        objective: What is minimised.
        rng: Source of the occasional random choice.
    """

    def __init__(self, objective: Objective, rng: np.random.Generator) -> None:
        self._objective = objective
        self._rng = rng

    def check(self, tasks: Sequence[TaskCurve]) -> None:
        """Try the objective before anything is measured: what a user's function does wrong shows at once."""
        self.gains(tasks, np.ones(len(tasks[0].calls)))

    def choose(self, tasks: Sequence[TaskCurve], baselines: Vector) -> int | None:
        """Pick the next task.

        Args:
            tasks: All tasks of the run.
            baselines: [M] seconds of each model before tuning.

        Returns:
            Its index, or None when every task is exhausted or no task matters any more.
        """
        open_tasks = [i for i, t in enumerate(tasks) if not t.exhausted]
        if not open_tasks:
            return None
        fresh = [i for i in open_tasks if tasks[i].batches == 0]
        if fresh:
            return fresh[0]
        gains = self.gains(tasks, baselines)
        useful = [i for i in open_tasks if gains[i] > 0]
        if not useful:
            return None
        if self._rng.random() < EXPLORE:
            return int(self._rng.choice(useful))
        return max(useful, key=lambda i: gains[i])

    def gains(self, tasks: Sequence[TaskCurve], baselines: Vector) -> Vector:
        """Return [T] the expected fall of the objective by one more batch of each task."""
        calls = np.array([t.calls for t in tasks], dtype=np.float64).T
        latencies = np.array([t.best[-1] if t.best else np.inf for t in tasks])
        finite = np.where(np.isfinite(latencies), latencies, 1.0)
        stalled = np.array([t.is_stalled for t in tasks])
        slopes = self._objective.slopes(ObjectiveInput(calls, finite, baselines, stalled))
        gains = np.zeros(len(tasks))
        for i, task in enumerate(tasks):
            if not np.isfinite(latencies[i]):
                # Nothing worked yet: keep trying, but not before tasks that are known to improve.
                gains[i] = 1e-9 / (1 + task.batches)
                continue
            gains[i] = slopes[i] * -self._slope(tasks, i)
        return gains

    @staticmethod
    def _slope(tasks: Sequence[TaskCurve], i: int) -> float:
        task = tasks[i]
        now, spent = task.best[-1], task.batches
        window = min(BACKWARD_WINDOW, spent - 1)
        before = task.best[-1 - window] if window else now
        backward = (now - before) / window if window and np.isfinite(before) else 0.0
        rates = [t.flops / t.best[-1] for t in tasks if t.best and t.family == task.family]
        similar = SIMILARITY_FACTOR * task.flops / max(rates) - now
        forward = min(-now / spent, similar)
        return min(0.0, BACKWARD_WEIGHT * backward + (1 - BACKWARD_WEIGHT) * min(forward, 0.0))
