"""Reading Ansor's logs (``auto_scheduler``'s JSON lines, versions v0.2 to v0.6).

A line is ``{"i": [[workload key, target, ...], [stages, steps]], "r": [seconds, error, all seconds, time],
"v": version}``. The workload key names a Python function or a hash that only the program which wrote the
log could resolve, so the caller says which workload each key means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from records.encoding import one_line
from records.errors import InvalidLine, Problem
from records.interop.ansor_steps import replay_steps
from records.interop.foreign import ForeignMeasurement, Imported, LineCollector, json_lines, timing_of_runs
from records.schema import Environment, Failure, Stage
from search_space import tvm_api
from search_space.candidate import trace_text
from search_space.hardware import target_text
from search_space.workload import Workload

_ERRORS: dict[int, tuple[Stage, str]] = {
    1: ("generate", "instantiation error"),
    2: ("build", "compile error on the host"),
    3: ("build", "compile error for the device"),
    4: ("run", "runtime error"),
    5: ("wrong_result", "wrong answer"),
    6: ("timeout", "build time-out"),
    7: ("timeout", "run time-out"),
    8: ("run", "unknown error"),
}
"""Ansor's ``MeasureErrorNO``."""


def import_log(
    path: Path,
    *,
    workloads: Mapping[str, Workload],
    threads: int,
    session: str,
    time_unix: float,
    environment: Environment | None = None,
) -> Imported:
    """Read an Ansor log.

    Args:
        path: The log.
        workloads: Ansor's workload key (the whole JSON text, or the name or hash that it begins with) to
            what it means. Only workloads of one block map; others are left out with a message.
        threads: Threads that the log's times were taken with; the log does not say.
        session: Session identifier for the records.
        time_unix: Time stamp for the records, seconds since the epoch.
        environment: The machine that it was tuned on, where the user names it. Otherwise the records
            carry an unknown machine and are used only after they have been measured again.

    Returns:
        Lines for a store, and what was left out.

    Raises:
        StoreError: If the file cannot be read.
    """
    problems: list[Problem] = []
    collector = LineCollector(session, environment, time_unix)
    for number, value in json_lines(path, problems):
        try:
            workload, target, measured = _read(value, workloads, threads)
        except (InvalidLine, ValueError) as error:
            problems.append(Problem(str(path), number, f"left out: {one_line(error)}"))
            continue
        collector.add(workload, target, threads, measured)
    return Imported(tuple(collector.lines), collector.count, tuple(problems))


def _read(
    value: Any, workloads: Mapping[str, Workload], threads: int
) -> tuple[Workload, str, ForeignMeasurement]:
    try:
        (task, (_, steps)), (costs, error_number, *_) = value["i"], value["r"]
        key, target = task[0], task[1]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise InvalidLine('no line of an Ansor log: expected {"i": [task, state], "r": result}') from error
    if not (
        isinstance(key, str)
        and isinstance(target, str)
        and isinstance(steps, list)
        and isinstance(costs, list)
    ):
        raise InvalidLine('no line of an Ansor log: expected {"i": [task, state], "r": result}')
    workload = _workload(key, workloads)
    trace = json.loads(trace_text(_replayed(workload, steps)))
    plan = {"kind": "trace", "base": None, "trace": trace}
    text = _target(target, threads)
    if error_number in _ERRORS:
        stage, message = _ERRORS[error_number]
        return (
            workload,
            text,
            ForeignMeasurement(plan, None, Failure(stage=stage, message=f"Ansor: {message}")),
        )
    if error_number != 0 or not costs or not all(isinstance(c, (int, float)) and 0 < c < 1e9 for c in costs):
        raise InvalidLine(f"it has no valid times: {str(value['r'])[:80]}")
    return workload, text, ForeignMeasurement(plan, timing_of_runs([float(c) for c in costs]), None)


def _replayed(workload: Workload, steps: list[Any]) -> Any:
    try:
        return replay_steps(workload, steps)
    except InvalidLine:
        raise
    except Exception as error:  # the compiler's own types
        raise InvalidLine(f"its steps do not fit {workload.name}: {one_line(error)}") from error


def _workload(key: str, workloads: Mapping[str, Workload]) -> Workload:
    names = [key]
    try:
        decoded = json.loads(key)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, list) and decoded:
        names.append(str(decoded[0]))
    for name in names:
        if name in workloads:
            return workloads[name]
    raise InvalidLine(
        f"workload {key[:120]} is unknown: say which workload it means (known: {sorted(workloads) or 'none'})"
    )


def _target(text: str, threads: int) -> str:
    """Keep of Ansor's command-line target what still has a meaning."""
    kind, *options = text.split() or [""]
    spec: dict[str, Any] = {"kind": kind}
    for option in options:
        name, _, value = option.lstrip("-").partition("=")
        if name == "mcpu":
            spec["mcpu"] = value
        elif name == "mattr":
            spec["mattr"] = value.split(",")
    if kind == "llvm":
        spec["num-cores"] = threads
    try:
        return target_text(tvm_api.tvm.target.Target(spec))
    except Exception as error:  # the compiler's own types
        raise InvalidLine(f"TVM does not know its target {text[:120]!r}: {one_line(error)}") from error
