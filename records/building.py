"""From a measurement to the lines of a log, and from a record back to its plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from records.encoding import clean_text, pack_text, unpack_text
from records.errors import InvalidLine
from records.plans import base_key, plan_key, stored_plan
from records.schema import (
    Argument,
    Environment,
    Failure,
    Kind,
    Line,
    ProgramLine,
    Timing,
    TuningRecord,
    Verdict,
    WorkloadInfo,
)


class Measured(Protocol):
    """What :func:`lines_of` reads of a measurement; ``tuner.measure``'s results have this form."""

    @property
    def plan(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def timing(self) -> Any: ...  # noqa: D102
    @property
    def failure(self) -> Any: ...  # noqa: D102
    @property
    def verdict(self) -> Any: ...  # noqa: D102
    @property
    def trace(self) -> str | None: ...  # noqa: D102
    @property
    def base(self) -> str | None: ...  # noqa: D102
    @property
    def build_seconds(self) -> float: ...  # noqa: D102
    @property
    def run_seconds(self) -> float: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, float]: ...  # noqa: D102


def workload_info(key: str, name: str, args: Iterable[Any], flops: float) -> WorkloadInfo:
    """Describe a workload.

    Args:
        key: Structural hash.
        name: Readable name.
        args: Parameters with ``name``, ``shape``, ``dtype`` and ``is_output``.
        flops: Floating-point operations of one call.
    """
    arguments = tuple(
        Argument(name=a.name, shape=tuple(int(e) for e in a.shape), dtype=str(a.dtype), is_output=a.is_output)
        for a in args
    )
    return WorkloadInfo(key=key, name=clean_text(name, 512), args=arguments, flops=float(flops))


def program_line(workload: WorkloadInfo, program: str) -> ProgramLine:
    """Return the line that keeps a workload's program (TVM's JSON text)."""
    return ProgramLine(workload=workload, program=pack_text(program))


def base_line(program: str, name: str) -> ProgramLine:
    """Return the line that keeps a rewritten program that traces start from."""
    info = WorkloadInfo(key=base_key(program), name=clean_text(f"base of {name}", 512))
    return ProgramLine(workload=info, program=pack_text(program))


def lines_of(
    measured: Measured,
    *,
    kind: Kind,
    session: str,
    workload: WorkloadInfo,
    target: str,
    environment: Environment,
    time_unix: float,
    round: int = 0,
    trial: int = 0,
    seed: int = 0,
    search_seconds: float = 0.0,
    cache: str = "",
) -> list[Line]:
    """Return the lines that record one measurement.

    Args:
        measured: The measurement.
        kind: ``baseline``, ``trial`` or ``confirmation``.
        session: Session identifier of the log's header.
        workload: See :func:`workload_info`.
        target: Canonical JSON of the target.
        environment: The machine, with the thread count of the runs.
        time_unix: When it was measured, seconds since the epoch.
        round: Search round.
        trial: Trial number in the session.
        seed: Seed of the session.
        search_seconds: Search time spent on this candidate.
        cache: Cache policy of the runs.

    Returns:
        The record, after the line of its base program where it has one. A store keeps equal programs once.
    """
    plan = dict(measured.plan)
    trace, base = measured.trace, measured.base
    if plan.get("kind") == "trace":
        base = plan.get("base")
        trace = msgspec.json.encode(plan.get("trace")).decode()
    elif measured.timing is None:
        trace = base = None
    lines: list[Line] = [base_line(base, workload.name)] if base is not None else []
    lines.append(
        TuningRecord(
            kind=kind,
            session=session,
            round=round,
            trial=trial,
            time_unix=time_unix,
            workload=workload,
            target=target,
            environment=environment,
            plan=stored_plan(plan),
            plan_key=plan_key(plan),
            trace=None if trace is None else pack_text(trace),
            base=None if base is None else base_key(base),
            timing=timing_of(measured.timing, cache),
            failure=failure_of(measured.failure),
            verdict=verdict_of(measured.verdict),
            seed=seed,
            search_seconds=search_seconds,
            build_seconds=measured.build_seconds,
            run_seconds=measured.run_seconds,
            facts=dict(measured.facts),
        )
    )
    return lines


def timing_of(timing: Any, cache: str = "") -> Timing | None:
    """Convert anything with ``runs_seconds``, ``minimum``, ``median``, ``low`` and ``high`` (seconds)."""
    if timing is None or isinstance(timing, Timing):
        return timing
    return Timing(
        runs_seconds=tuple(float(run) for run in timing.runs_seconds),
        minimum_seconds=float(timing.minimum),
        median_seconds=float(timing.median),
        low_seconds=float(timing.low),
        high_seconds=float(timing.high),
        cache=cache,
    )


def failure_of(failure: Any) -> Failure | None:
    """Convert anything with ``stage`` and ``message``; the message is made valid and shortened."""
    if failure is None:
        return None
    return Failure(stage=failure.stage, message=clean_text(str(failure.message)))


def verdict_of(verdict: Any) -> Verdict | None:
    """Convert anything with the fields of :class:`records.schema.Verdict`; infinities become ``None``."""
    if verdict is None:
        return None
    return Verdict(
        ok=bool(verdict.ok),
        max_abs_error=_finite(verdict.max_abs_error),
        max_rel_error=_finite(verdict.max_rel_error),
        tolerance=_finite(verdict.tolerance),
        checks=tuple(str(check) for check in verdict.checks),
    )


def full_plan(record: TuningRecord, program_of: Callable[[str], str | None]) -> dict[str, Any]:
    """Return the plan that a record was measured with.

    Args:
        record: A record.
        program_of: Gives the program text of a key, or ``None``.

    Raises:
        InvalidLine: If a trace plan has no trace, or its base program is missing.
    """
    return dict(record.plan) if record.plan.get("kind") != "trace" else replay_plan(record, program_of)


def replay_plan(record: TuningRecord, program_of: Callable[[str], str | None]) -> dict[str, Any]:
    """Return the plan that replays a record's trace, whatever generator made it.

    Args:
        record: A record.
        program_of: Gives the program text of a key, or ``None``.

    Raises:
        InvalidLine: If the record has no trace, or its base program is missing.
    """
    if record.trace is None:
        raise InvalidLine(f"record {record.plan_key} of {record.workload.name} has no trace to replay")
    base = None
    if record.base is not None:
        base = program_of(record.base)
        if base is None:
            raise InvalidLine(f"base program {record.base} of record {record.plan_key} is not in the log")
    try:
        trace = msgspec.json.decode(unpack_text(record.trace))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidLine(f"the trace of record {record.plan_key} is damaged: {error}") from error
    return {"kind": "trace", "base": base, "trace": trace}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
