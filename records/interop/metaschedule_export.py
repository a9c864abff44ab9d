"""Writing records as a MetaSchedule JSON database, for TVM's own passes to apply."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records.apply import DoesNotApply, load_workload
from records.building import replay_plan
from records.encoding import one_line
from records.errors import InvalidLine, Problem, StoreError
from records.interop.metaschedule_import import RECORD_FILE, WORKLOAD_FILE
from records.ranking import group_by_task, rank
from records.schema import TuningRecord
from records.store import RecordStore
from records.trace_check import check_trace
from search_space import tvm_api
from search_space.workload import Workload


@dataclass(frozen=True, slots=True)
class Exported:
    """What went out.

    Attributes:
        records: Records written.
        workloads: Workloads written.
        skipped: Records that cannot be expressed, with the reason.
    """

    records: int
    workloads: int
    skipped: tuple[Problem, ...]


def export_database(store: RecordStore, directory: Path, *, limit: int | None = None) -> Exported:
    """Write the valid records of a store as a MetaSchedule database.

    A record is left out when it has no trace (nothing to replay), when its trace starts from a rewritten
    program (the database has no place for one), or when the trace no longer applies.

    Args:
        store: Where the records are.
        directory: Where to write the two files; made if missing.
        limit: Best plans of each task to write; all valid ones when absent.

    Returns:
        What was written and what was not.

    Raises:
        StoreError: If the directory holds a database already or cannot be made.
    """
    from tvm.s_tir import meta_schedule  # imports much that only this needs

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {directory}: {error.strerror}; choose another directory") from error
    for name in (WORKLOAD_FILE, RECORD_FILE):
        if (directory / name).exists():
            raise StoreError(f"{directory / name} exists: choose another directory or remove it")
    database = meta_schedule.database.JSONDatabase(work_dir=str(directory))
    view = store.view()
    workloads: dict[str, Workload | DoesNotApply] = {}
    committed: dict[str, Any] = {}
    skipped: list[Problem] = []
    written = 0
    for task, group in group_by_task(view.summaries).items():
        for ranked in rank(group, limit):
            summary = ranked.summary
            if summary.plan_key == "default":
                continue
            try:
                (record,) = store.load([summary])
                if task.key not in workloads:
                    workloads[task.key] = _workload(view.programs, task.key)
                workload = workloads[task.key]
                if isinstance(workload, DoesNotApply):
                    raise workload
                module, trace = _scheduled(workload, record)
            except (DoesNotApply, InvalidLine) as error:
                skipped.append(Problem(view.where, summary.number, str(error)))
                continue
            if task.key not in committed:
                committed[task.key] = database.commit_workload(module)
            database.commit_tuning_record(
                meta_schedule.database.TuningRecord(
                    trace,
                    committed[task.key],
                    run_secs=_runs(record, ranked.seconds),
                    target=tvm_api.tvm.target.Target(json.loads(record.target)),
                    args_info=meta_schedule.arg_info.ArgInfo.from_entry_func(module),
                )
            )
            written += 1
    return Exported(written, len(committed), tuple(skipped))


def _workload(programs: Any, key: str) -> Workload | DoesNotApply:
    if key not in programs:
        return DoesNotApply(f"the program of workload {key} is not in the log")
    try:
        return load_workload(programs[key])
    except (DoesNotApply, InvalidLine) as error:
        return DoesNotApply(str(error))


def _scheduled(workload: Workload, record: TuningRecord) -> tuple[Any, Any]:
    """Return the untuned module and the trace as TVM's object, replayed once to see that it applies."""
    if record.base is not None:
        raise DoesNotApply(
            "its trace starts from a rewritten program, which a MetaSchedule database cannot hold"
        )
    plan = replay_plan(record, lambda key: None)
    check_trace(plan["trace"])
    module = tvm_api.IRModule({"main": workload.func.with_attr("global_symbol", "main")})
    schedule = tvm_api.Schedule(module)
    try:
        tvm_api.Trace.apply_json_to_schedule(plan["trace"], schedule)
    except Exception as error:  # the compiler's own types
        raise DoesNotApply(f"its trace no longer applies: {one_line(error)}") from error
    return module, schedule.trace


def _runs(record: TuningRecord, seconds: float) -> list[float]:
    """Return the runs that MetaSchedule averages; the standing's median where they differ from it."""
    if record.timing is not None and record.timing.median_seconds == seconds:
        return list(record.timing.runs_seconds) or [seconds]
    return [seconds]
