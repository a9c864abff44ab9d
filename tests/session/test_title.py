"""Who is called best: only who beat the incumbent side by side and was checked in that moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from search_space.candidate import context_of
from search_space.hardware import resolve_target
from tuner.measure.base import Comparison, Failure, MeasureResult, Verdict
from tuner.measure.replay import ReplayMeasurer
from tuner.measure.timing import comparison_of, summarise
from tuner.scheduler import TaskCurve
from tuner.search import RandomSearch
from tuner.task_run import TaskRun
from tuner.tasks import Task
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

RIGHT = Verdict(True, 0.0, 0.0, 1e-5, ("random", "integers"))
WRONG = Verdict(False, 9.0, 9.0, 1e-5, ("random", "integers"), "elements are wrong")


class Duels(ReplayMeasurer):
    """Trial times by the plan's ``trial``, times of duels by its ``duel``; negative ones are wrong."""

    def __init__(self) -> None:
        super().__init__({})
        self.duels: list[tuple[Any, Any]] = []

    def measure(
        self, key: str, plans: Sequence[Any], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        return [
            MeasureResult(
                p, timing=summarise([p["trial"]] * 3), verdict=RIGHT, is_quick=p.get("quick", False)
            )
            for p in plans
        ]

    def compare(self, key: str, first: Any, second: Any) -> Comparison:
        self.duels.append((first and first["trial"], second["trial"]))
        if second["duel"] < 0:
            return comparison_of([[1.0] * 3, [0.5] * 3]).checked(WRONG)
        sides = [first, second] if first is not None else [second]
        outcome = comparison_of([[side["duel"]] * 6 for side in sides])
        return outcome.checked(RIGHT) if outcome.may_win else outcome


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, float, str]] = []

    def __call__(self, run: TaskRun, result: MeasureResult, kind: str, seconds: float) -> None:
        assert isinstance(result.plan, dict)
        failure = result.failure.stage if result.failure is not None else ""
        self.lines.append((kind, result.plan["trial"], failure))


@pytest.fixture
def task_run() -> TaskRun:
    workload = named_workload("gmm:1,16,16,16")
    context = context_of(workload, resolve_target(threads=1))
    strategy = RandomSearch(context.sketches, np.random.default_rng(0))
    return TaskRun(Task(workload, ("gmm",), (1,)), context, strategy, TaskCurve(workload.flops, (1.0,), ""))


@dataclass
class Planned:
    """A proposal whose plan says what happens to it."""

    sketch: str
    row: np.ndarray
    plan: dict[str, Any]
    key: str


def batch(run: TaskRun, measurer: Duels, log: Log, *plans: dict[str, Any]) -> None:
    sketch = next(iter(run.context.sketches))
    row = np.zeros(len(run.context.sketches[sketch].space.slots), np.int32)
    proposals = [Planned(sketch, row, {"kind": "sketch", **p}, str(p)) for p in plans]
    run.measure(measurer, proposals, log, 0.0)  # type: ignore[arg-type]


def test_the_first_best_is_run_and_checked_alone_and_has_the_time_of_that(task_run: TaskRun) -> None:
    measurer, log = Duels(), Log()
    batch(task_run, measurer, log, {"trial": 3.0, "duel": 3.0}, {"trial": 1.0, "duel": 1.5})
    assert measurer.duels == [(None, 1.0)]
    assert task_run.best_seconds == 1.5
    assert log.lines[-1] == ("confirmation", 1.0, "")


def test_a_lucky_race_wins_no_title(task_run: TaskRun) -> None:
    measurer, log = Duels(), Log()
    batch(task_run, measurer, log, {"trial": 2.0, "duel": 2.0})
    batch(task_run, measurer, log, {"trial": 1.0, "duel": 2.5})
    assert measurer.duels == [(None, 2.0), (2.0, 1.0)]
    assert task_run.best_plan is not None and task_run.best_plan["trial"] == 2.0


def test_a_wrong_challenger_is_recorded_and_the_next_one_has_its_turn(task_run: TaskRun) -> None:
    measurer, log = Duels(), Log()
    batch(task_run, measurer, log, {"trial": 5.0, "duel": 5.0})
    batch(task_run, measurer, log, {"trial": 1.0, "duel": -1.0}, {"trial": 2.0, "duel": 2.0})
    assert measurer.duels[1:] == [(5.0, 1.0), (5.0, 2.0)]
    assert ("confirmation", 1.0, "wrong_result") in log.lines
    assert task_run.best_seconds == 2.0


def test_who_was_found_clearly_slower_never_challenges(task_run: TaskRun) -> None:
    measurer, log = Duels(), Log()
    batch(task_run, measurer, log, {"trial": 2.0, "duel": 2.0})
    batch(task_run, measurer, log, {"trial": 2.05, "duel": 1.0, "quick": True}, {"trial": 2.04, "duel": 3.0})
    task_run.finish(measurer, log)
    assert measurer.duels == [(None, 2.0), (2.0, 2.04)]
    assert task_run.best_seconds == 2.0


def test_a_challenger_that_crashes_changes_nothing(task_run: TaskRun) -> None:
    measurer, log = Duels(), Log()
    batch(task_run, measurer, log, {"trial": 2.0, "duel": 2.0})
    failed = Comparison(None, None, None, None, None, Failure("crash", "while running: SIGSEGV"))
    measurer.compare = lambda key, first, second: failed  # type: ignore[method-assign]
    batch(task_run, measurer, log, {"trial": 1.0, "duel": 1.0})
    assert task_run.best_seconds == 2.0


def test_who_clearly_lost_to_the_winner_is_not_asked_again(task_run: TaskRun) -> None:
    measurer, log = Duels(), Log()
    batch(task_run, measurer, log, {"trial": 2.02, "duel": 2.02})
    batch(task_run, measurer, log, {"trial": 2.0, "duel": 2.5})  # loses to the first
    batch(task_run, measurer, log, {"trial": 2.01, "duel": 1.99})  # dethrones the first
    task_run.finish(measurer, log)
    # The second never met the new winner; the first, who lost to it, is spared.
    assert measurer.duels == [(None, 2.02), (2.02, 2.0), (2.02, 2.01), (2.01, 2.0)]
