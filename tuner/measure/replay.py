"""A measurer that answers from what was measured before: searches without hardware, bugs replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tuner.closing import Closing
from tuner.errors import JobFailed
from tuner.measure.account import TimeAccount
from tuner.measure.base import (
    Baseline,
    Comparison,
    Failure,
    MeasureResult,
    MeasureTask,
    Plan,
    Timing,
    Verdict,
)
from tuner.measure.timing import summarise

Estimate = Callable[[MeasureTask, Plan], float | None]
"""Gives seconds for a plan that was never measured, or ``None`` if it cannot."""


def plan_key(plan: Plan) -> str:
    """Return the text under which a plan is remembered: its JSON with sorted keys."""
    return json.dumps(plan, sort_keys=True, separators=(",", ":"))


class ReplayMeasurer(Closing):
    """Answers from recorded results; deterministic, and nothing is built or run.

    Args:
        results: For each task's key, the result of each plan by :func:`plan_key`.
        baselines: Seconds of the untuned program by task key; a task without one replays the recorded
            ``{"kind": "default"}`` plan.
        estimate: What to answer for a plan that was never measured; a failure without it.
    """

    def __init__(
        self,
        results: Mapping[str, Mapping[str, MeasureResult]],
        baselines: Mapping[str, float] | None = None,
        estimate: Estimate | None = None,
    ) -> None:
        self._results = results
        self._baselines = dict(baselines or {})
        self._estimate = estimate
        self._tasks: dict[str, MeasureTask] = {}
        self.misses = 0
        self.account = TimeAccount()

    def open(self, task: MeasureTask) -> Baseline:
        """Return the recorded time of the untuned program.

        Raises:
            JobFailed: If nothing is recorded of the task and there is no estimate.
        """
        self._tasks[task.key] = task
        seconds = self._baselines.get(task.key)
        if seconds is None:
            recorded = self._answer(task.key, {"kind": "default"})
            if recorded.timing is None:
                if not self._results.get(task.key):
                    raise JobFailed(
                        f"nothing is recorded of task {task.name} ({task.key}): replay needs a log of it"
                    )
                return Baseline(task.key, None, recorded.failure, float("inf"), is_lower_bound=True)
            return Baseline(task.key, recorded.timing, None, recorded.timing.median)
        return Baseline(task.key, summarise([seconds]), None, seconds)

    def measure(
        self, key: str, plans: Sequence[Plan], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        """Return what was recorded of each plan.

        Raises:
            KeyError: If the task is not open.
        """
        self._require(key)
        return [self._answer(key, plan) for plan in plans]

    def compare(self, key: str, first: Plan | None, second: Plan) -> Comparison:
        """Compare two plans by their recorded distributions and verdicts."""
        self._require(key)
        timings: list[Timing] = []
        verdict: Verdict | None = None
        for plan in (first, second):
            if plan is None:
                continue
            result = self._answer(key, plan)
            if result.timing is None:
                return Comparison(None, None, None, None, None, result.failure)
            timings.append(result.timing)
            verdict = result.verdict
        if len(timings) == 1:
            return Comparison(None, timings[0], None, None, None, verdict=verdict)
        one, two = timings
        low, high = two.low / one.high, two.high / one.low
        return Comparison(one, two, two.median / one.median, low, high, verdict=verdict)

    def close(self) -> None:
        """Forget the open tasks."""
        self._tasks.clear()

    def _require(self, key: str) -> MeasureTask:
        if key not in self._tasks:
            raise KeyError(f"task {key} is not open: call open() first")
        return self._tasks[key]

    def _answer(self, key: str, plan: Plan) -> MeasureResult:
        recorded = self._results.get(key, {}).get(plan_key(plan))
        if recorded is not None:
            return replace(recorded, plan=plan)
        self.misses += 1
        seconds = self._estimate(self._tasks[key], plan) if self._estimate is not None else None
        if seconds is not None:
            return MeasureResult(plan, timing=summarise([seconds]))
        message = f"nothing is recorded of this plan of task {self._tasks[key].name}"
        return MeasureResult(plan, failure=Failure("run", message))
