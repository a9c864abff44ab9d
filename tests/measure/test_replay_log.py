"""A log answers in place of its machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from records.jsonl import JsonlStore
from search_space.hardware import resolve_target
from tuner.api import measurer_of
from tuner.errors import UserError
from tuner.frontends import parse
from tuner.measure.base import Failure, MeasureResult, Verdict
from tuner.measure.replay import ReplayMeasurer
from tuner.measure.replay_log import replay_of
from tuner.options import TuneOptions
from tuner.result import TuneResult
from tuner.session import Session

pytestmark = pytest.mark.tvm

TASKS = tuple(parse("gmm:1,32,48,64"))


class Pretended(ReplayMeasurer):
    """Times are the sum of the decisions in milliseconds; every fifth plan is wrong."""

    def __init__(self) -> None:
        super().__init__({}, {TASKS[0].key: 1.0}, lambda task, plan: 1e-3 * (1 + sum(plan["row"])))

    def _answer(self, key: str, plan: Any) -> MeasureResult:
        result = super()._answer(key, plan)
        if sum(plan["row"]) % 5:
            return result
        verdict = Verdict(False, 1.0, float("inf"), 1e-5, ("random",), "elements are wrong")
        return MeasureResult(plan, failure=Failure("wrong_result", verdict.message), verdict=verdict)


def run(measurer: ReplayMeasurer, log: Path | None = None, measure: str = "local") -> TuneResult:
    options = TuneOptions(trials=24, batch=6, strategy="random", seed=3, log=log, measure=measure)
    return Session(TASKS, resolve_target(threads=2), options, measurer).run()


def test_a_search_is_repeated_from_its_log_alone(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    first = run(Pretended(), log)
    measurer = replay_of(log)
    again = run(measurer)
    assert measurer.misses == 0
    assert again.plans == first.plans
    assert [t.best_seconds for t in again.tasks] == [t.best_seconds for t in first.tasks]
    assert [t.failed for t in again.tasks] == [t.failed for t in first.tasks]
    assert again.tasks[0].failed > 0


def test_what_a_replay_writes_is_never_taken_for_this_machine(tmp_path: Path) -> None:
    log, copy = tmp_path / "run.jsonl", tmp_path / "copy.jsonl"
    run(Pretended(), log)
    where = f"replay:{log}"
    run(measurer_of(where), copy, where)  # type: ignore[arg-type]
    store = JsonlStore(copy, read_only=True)
    try:
        assert {s.environment.cpu for s in store.view().summaries} == {"replay of run.jsonl"}
    finally:
        store.close()


def test_a_log_that_is_missing_or_empty_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--measure replay:"):
        replay_of(tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    JsonlStore(empty).close()
    with pytest.raises(UserError, match=r"holds no measurement|cannot|empty"):
        replay_of(empty)
    with pytest.raises(UserError, match="unknown measurer 'elsewhere'"):
        measurer_of("elsewhere")
