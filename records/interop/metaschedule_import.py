"""Reading MetaSchedule's JSON database.

Its two files are ``database_workload.json`` (``[hash, base64 of the module]`` a line) and
``database_tuning_record.json`` (``[workload index, [trace, seconds of each run, target, arguments]]``).
They are read here rather than by TVM, whose reader gives up at the first damaged line.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

from records.encoding import one_line
from records.errors import InvalidLine, Problem
from records.interop.foreign import ForeignMeasurement, Imported, LineCollector, json_lines, timing_of_runs
from records.schema import Environment, Failure
from records.trace_check import check_program, check_trace
from search_space import tvm_api
from search_space.hardware import target_text
from search_space.workload import Workload, workload_of

WORKLOAD_FILE = "database_workload.json"
RECORD_FILE = "database_tuning_record.json"

_FAILED_SECONDS = 1e9
"""MetaSchedule writes 1e10 seconds for a candidate that failed."""


def import_database(
    directory: Path, *, session: str, time_unix: float, environment: Environment | None = None
) -> Imported:
    """Read a MetaSchedule database.

    Args:
        directory: Where its two files are.
        session: Session identifier for the records.
        time_unix: Time stamp for the records, seconds since the epoch; the database has none.
        environment: The machine that it was tuned on, where the user names it. Otherwise the records
            carry an unknown machine and are used only after they have been measured again.

    Returns:
        Lines for a store, and what was left out.

    Raises:
        StoreError: If a file is missing.
    """
    problems: list[Problem] = []
    workloads: list[Workload | None] = []
    path = directory / WORKLOAD_FILE
    for number, value in json_lines(path, problems):
        while len(workloads) < number - 1:
            workloads.append(None)  # a damaged line still counts: records refer to lines by index
        try:
            workloads.append(_workload(value))
        except (InvalidLine, ValueError) as error:
            workloads.append(None)
            problems.append(Problem(str(path), number, f"left out a workload: {one_line(error)}"))
    collector = LineCollector(session, environment, time_unix)
    path = directory / RECORD_FILE
    targets: dict[str, tuple[str, int]] = {}
    for number, value in json_lines(path, problems):
        try:
            workload, measured, target, threads = _record(value, workloads, targets)
        except (InvalidLine, ValueError) as error:
            problems.append(Problem(str(path), number, f"left out a record: {one_line(error)}"))
            continue
        collector.add(workload, target, threads, measured)
    return Imported(tuple(collector.lines), collector.count, tuple(problems))


def _workload(value: Any) -> Workload:
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)):
        raise InvalidLine("expected [hash, base64]")
    text = _unwrap(value[1])
    check_program(text)
    try:
        module = tvm_api.load_json(text)
        functions = {str(variable.name_hint): func for variable, func in module.functions.items()}
    except Exception as error:  # the compiler raises types of its own for data that it cannot read
        raise InvalidLine(f"TVM cannot read the module: {one_line(error)}") from error
    if list(functions) != ["main"] or not isinstance(functions["main"], tvm_api.PrimFunc):
        raise InvalidLine(f"expected a module with the one function main, found {sorted(functions)}")
    return workload_of(functions["main"], f"metaschedule-{value[0][:20]}")


def _unwrap(text: str) -> str:
    """Undo TVM's Base64 stream: a 64-bit length, then the JSON."""
    raw = base64.b64decode(text, validate=True)
    if len(raw) < 8:
        raise InvalidLine("the module is cut short")
    (length,) = struct.unpack("<Q", raw[:8])
    if length != len(raw) - 8:
        raise InvalidLine("the module's length does not fit")
    return raw[8:].decode()


def _record(
    value: Any, workloads: list[Workload | None], targets: dict[str, tuple[str, int]]
) -> tuple[Workload, ForeignMeasurement, str, int]:
    if not (
        isinstance(value, list) and len(value) == 2 and isinstance(value[1], list) and len(value[1]) == 4
    ):
        raise InvalidLine("expected [workload index, [trace, seconds, target, arguments]]")
    index, (trace, seconds, target, _) = value
    if not (isinstance(index, int) and 0 <= index < len(workloads)):
        raise InvalidLine(f"workload index {index!r} is not in {WORKLOAD_FILE}")
    workload = workloads[index]
    if workload is None:
        raise InvalidLine(f"its workload (line {index + 1} of {WORKLOAD_FILE}) was left out")
    check_trace(trace)
    if not (
        isinstance(seconds, list) and seconds and all(isinstance(s, (int, float)) and s > 0 for s in seconds)
    ):
        raise InvalidLine("it has no times")
    if not isinstance(target, dict):
        raise InvalidLine("it has no target")
    known = json.dumps(target, sort_keys=True)
    if known not in targets:
        targets[known] = _target(target)
    text, threads = targets[known]
    plan = {"kind": "trace", "base": None, "trace": trace}
    if max(seconds) >= _FAILED_SECONDS:
        failure = Failure(stage="run", message="MetaSchedule recorded a failure without its reason")
        return workload, ForeignMeasurement(plan, None, failure), text, threads
    runs = [float(run) for run in seconds]
    return workload, ForeignMeasurement(plan, timing_of_runs(runs), None), text, threads


def _target(spec: dict[str, Any]) -> tuple[str, int]:
    try:
        text = target_text(tvm_api.tvm.target.Target(spec))
    except Exception as error:  # the compiler's own types
        raise InvalidLine(f"TVM does not know its target: {one_line(error)}") from error
    threads = json.loads(text).get("num-cores", 0)
    return text, threads if isinstance(threads, int) and threads >= 0 else 0
