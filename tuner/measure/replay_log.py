"""A log as a measurer: a run is searched again without its machine, and a user's bug with it."""

from __future__ import annotations

from pathlib import Path

from records.errors import RecordError
from records.opening import opened
from records.schema import TuningRecord
from tuner.errors import UserError
from tuner.measure.base import Failure, MeasureResult, Timing, Verdict
from tuner.measure.replay import ReplayMeasurer, plan_key

SCHEME = "replay:"
"""What ``--measure`` begins with when a log answers."""


def replay_of(where: str | Path) -> ReplayMeasurer:
    """Return a measurer that answers from the records of a log.

    The first record of a plan answers, which is its trial; a later one that found it wrong overrules it.

    Args:
        where: A path or URL of records.

    Raises:
        UserError: If there is no such log or nothing in it.
    """
    results: dict[str, dict[str, MeasureResult]] = {}
    try:
        with opened([str(where)]) as (store,):
            records = store.load(store.view().summaries)
    except RecordError as error:
        raise UserError(f"--measure {SCHEME}{where}: {error}") from error
    for record in records:
        known = results.setdefault(record.workload.key, {})
        key = plan_key(record.plan)
        result = _result_of(record)
        is_wrong = result.failure is not None and result.failure.stage == "wrong_result"
        if key not in known or is_wrong:
            known[key] = result
    if not results:
        raise UserError(f"--measure {SCHEME}{where}: it holds no measurement to answer from")
    return ReplayMeasurer(results)


def _result_of(record: TuningRecord) -> MeasureResult:
    timing, failure, verdict = record.timing, record.failure, record.verdict
    return MeasureResult(
        plan=record.plan,
        timing=None
        if timing is None or failure is not None
        else Timing(
            timing.runs_seconds,
            timing.minimum_seconds,
            timing.median_seconds,
            timing.low_seconds,
            timing.high_seconds,
        ),
        failure=None
        if failure is None
        else Failure(
            failure.stage, failure.message, failure.stage == "timeout" and "times" in failure.message
        ),
        verdict=None
        if verdict is None
        else Verdict(
            verdict.ok,
            _number(verdict.max_abs_error),
            _number(verdict.max_rel_error),
            _number(verdict.tolerance),
            verdict.checks,
        ),
        build_seconds=record.build_seconds,
        run_seconds=record.run_seconds,
        cache="warm" if timing is None or not timing.cache else timing.cache,
        facts=record.facts,
    )


def _number(value: float | None) -> float:
    return float("inf") if value is None else value
