"""Whole runs without hardware: a measurer whose times depend on the decisions alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from records.jsonl import JsonlStore
from search_space.hardware import resolve_target
from tuner.errors import JobFailed
from tuner.events import RunProgress
from tuner.frontends import parse
from tuner.measure.account import TimeAccount
from tuner.measure.base import Baseline, Comparison, Failure, MeasureResult, MeasureTask, Verdict
from tuner.measure.timing import summarise
from tuner.options import TuneOptions
from tuner.result import TuneResult
from tuner.session import Session

pytestmark = pytest.mark.tvm

SPECS = ("gmm:1,32,48,64", "sfm:16,48")


class FakeMeasurer:
    """Times are a function of the plan; every tenth plan fails; may break off after some batches."""

    def __init__(
        self, breaks_after: int | None = None, error: Callable[[], BaseException] = KeyboardInterrupt
    ) -> None:
        self.measured: list[str] = []
        self.batches = 0
        self.account = TimeAccount()
        self._breaks_after = breaks_after
        self._error = error

    def open(self, task: MeasureTask) -> Baseline:
        return Baseline(task.key, summarise([1.0, 1.0]), None, 1.0)

    def measure(
        self, key: str, plans: Sequence[Any], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        self.batches += 1
        if self._breaks_after is not None and self.batches > self._breaks_after:
            raise self._error()
        return [self._result(plan) for plan in plans]

    def _result(self, plan: Any) -> MeasureResult:
        self.measured.append(str(plan))
        if sum(plan["row"]) % 10 == 9:
            return MeasureResult(plan, failure=Failure("build", "planted"))
        seconds = self.seconds(plan)
        ok = Verdict(True, 0.0, 0.0, 1e-5, ("random",))
        return MeasureResult(plan, timing=summarise([seconds] * 3), verdict=ok, trace="[]")

    @staticmethod
    def seconds(plan: Any) -> float:
        return 1e-3 * (1 + sum(plan["row"]))

    def compare(self, key: str, first: Any, second: Any) -> Comparison:
        two = self.seconds(second)
        if first is None:
            return Comparison(None, summarise([two] * 3), None, None, None)
        one = self.seconds(first)
        return Comparison(summarise([one] * 3), summarise([two] * 3), two / one, two / one, two / one)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def run(measurer: FakeMeasurer, listener: Any = lambda p: None, **options: Any) -> TuneResult:
    tasks = [t for spec in SPECS for t in parse(spec)]
    settings = TuneOptions(**{"trials": 24, "batch": 6, "strategy": "random", **options})
    return Session(tasks, resolve_target(threads=2), settings, measurer, listener).run()


def test_the_budget_is_spent_and_every_task_gets_a_share() -> None:
    measurer = FakeMeasurer()
    result = run(measurer)
    assert sum(t.trials for t in result.tasks) == len(measurer.measured) == 24
    assert min(t.trials for t in result.tasks) >= 6
    assert result.stopped == "all 24 trials are spent"


def test_the_best_plan_is_the_fastest_that_worked() -> None:
    measurer = FakeMeasurer()
    result = run(measurer)
    assert result.tasks and result.plans
    for task in result.tasks:
        assert task.best_seconds is not None and task.baseline_seconds == 1.0
        assert 0 < task.best_seconds < 1.0
    for plan in result.plans.values():
        assert sum(plan["row"]) % 10 != 9


def test_even_one_trial_a_task_reaches_every_task() -> None:
    result = run(FakeMeasurer(), trials=2)
    assert [t.trials for t in result.tasks] == [1, 1]


def test_progress_is_told() -> None:
    told: list[RunProgress] = []
    run(FakeMeasurer(), told.append)
    assert told[-1].trials == 24 == told[-1].trials_total
    assert {"opening", "searching", "measuring"} <= {t.state for p in told for t in p.tasks}
    assert any(p.remaining_seconds is not None for p in told)


def test_the_same_command_again_continues(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    first = FakeMeasurer(breaks_after=2)
    stopped = run(first, log=log)
    assert stopped.interrupted and sum(t.trials for t in stopped.tasks) == 12
    second = FakeMeasurer()
    result = run(second, log=log)
    assert sum(t.trials for t in result.tasks) == 24
    assert len(second.measured) == 12
    assert not set(first.measured) & set(second.measured)
    third = FakeMeasurer()
    again = run(third, log=log)
    assert third.measured == []
    assert [t.best_seconds for t in again.tasks] == [t.best_seconds for t in result.tasks]
    assert [t.baseline_seconds for t in again.tasks] == [1.0, 1.0]


def test_no_resume_measures_anew(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    run(FakeMeasurer(), log=log)
    again = FakeMeasurer()
    run(again, log=log, resume=False)
    assert len(again.measured) == 24


def test_the_log_holds_every_measurement(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    run(FakeMeasurer(), log=log)
    with JsonlStore(log, read_only=True) as store:
        view = store.view()
        kinds = [s.kind for s in view.summaries]
        assert kinds.count("trial") == 24 and kinds.count("baseline") == 2
        assert len(view.programs) >= 2 and len(view.headers) == 1
        assert not view.problems


def test_a_failed_job_keeps_what_was_measured(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with pytest.raises(JobFailed):
        run(FakeMeasurer(breaks_after=1, error=lambda: JobFailed("planted")), log=log)
    with JsonlStore(log, read_only=True) as store:
        assert sum(s.kind == "trial" for s in store.view().summaries) == 6


def test_evolution_with_the_model_runs_too() -> None:
    result = run(FakeMeasurer(), strategy="evolution")
    assert sum(t.trials for t in result.tasks) == 24
    assert result.seconds["search"] > 0


def test_time_limits_a_run() -> None:
    ticks = iter(range(10**6))
    tasks = parse(SPECS[0])
    options = TuneOptions(seconds=40, batch=4, strategy="random")
    session = Session(
        tasks, resolve_target(threads=2), options, FakeMeasurer(), clock=lambda: float(next(ticks))
    )
    assert "time" in session.run().stopped


def test_the_same_seed_measures_the_same_candidates() -> None:
    one, two = FakeMeasurer(), FakeMeasurer()
    for measurer in (one, two):
        run(measurer, strategy="evolution", seed=5)
    assert one.measured == two.measured
    other = FakeMeasurer()
    run(other, strategy="evolution", seed=6)
    assert other.measured != one.measured
