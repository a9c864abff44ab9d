"""The fake of the measurers' suite: answers from what a test says was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tuner.closing import Closing
from tuner.measure.account import TimeAccount
from tuner.measure.base import Baseline, Comparison, Failure, MeasureResult, MeasureTask, Plan


def plan_key(plan: Plan) -> str:
    """Return the text under which a plan is remembered: its JSON with sorted keys."""
    return json.dumps(plan, sort_keys=True, separators=(",", ":"))


class ReplayMeasurer(Closing):
    """Answers from recorded results; deterministic, and nothing is built or run.

    Args:
        results: The result of each plan by :func:`plan_key`, the untuned program's among them.
    """

    def __init__(self, results: Mapping[str, MeasureResult]) -> None:
        self._results = results
        self._open: set[str] = set()
        self.account = TimeAccount()

    def open(self, task: MeasureTask) -> Baseline:
        self._open.add(task.key)
        recorded = self._answer(task.key, {"kind": "default"})
        assert recorded.timing is not None
        return Baseline(task.key, recorded.timing, None, recorded.timing.median)

    def measure(
        self, key: str, plans: Sequence[Plan], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        return [self._answer(key, plan) for plan in plans]

    def compare(self, key: str, first: Plan, second: Plan) -> Comparison:
        results = [self._answer(key, plan) for plan in (first, second)]
        for result in results:
            if result.failure is not None:
                return Comparison(None, None, None, None, None, result.failure)
        one, two = (result.timing for result in results)
        assert one is not None and two is not None
        return Comparison(one, two, two.median / one.median, two.low / one.high, two.high / one.low)

    def close(self) -> None:
        self._open.clear()

    def _answer(self, key: str, plan: Plan) -> MeasureResult:
        if key not in self._open:
            raise KeyError(f"task {key} is not open: call open() first")
        recorded = self._results.get(plan_key(plan))
        if recorded is None:
            return MeasureResult(plan, failure=Failure("run", "nothing is recorded of this plan"))
        return replace(recorded, plan=plan)
