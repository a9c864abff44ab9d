"""Replaying a record on its workload: the stored trace alone rebuilds the schedule."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from records.building import replay_plan
from records.encoding import one_line, unpack_text
from records.errors import InvalidLine, RecordError
from records.schema import ProgramLine, TuningRecord
from records.store import LogView
from records.trace_check import check_program, check_trace
from search_space import tvm_api
from search_space.candidate import finish_module, untuned_module
from search_space.tensorize.registry import ensure_registered
from search_space.workload import Workload, workload_from_program


class DoesNotApply(RecordError):
    """A record cannot be used on a workload; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A replayed record.

    Attributes:
        module: Scheduled IRModule with the function ``main``, parameters as the workload's.
        record: What was replayed.
    """

    module: Any
    record: TuningRecord


def program_lookup(view: LogView) -> Callable[[str], str | None]:
    """Return a function from the key of a program to its text, for the programs of a view."""

    def program_of(key: str) -> str | None:
        return unpack_text(view.programs[key].program) if key in view.programs else None

    return program_of


def load_workload(line: ProgramLine) -> Workload:
    """Rebuild a workload from a log, so that the log can be used without the model.

    Args:
        line: A program line.

    Returns:
        The workload.

    Raises:
        DoesNotApply: If the program is damaged, holds what is not allowed, or has another structural hash
            than its key says (another version of TVM hashes otherwise).
    """
    name, key = line.workload.name, line.workload.key
    try:
        text = unpack_text(line.program)
        check_program(text)
        workload = workload_from_program(text, name)
    except Exception as error:  # the compiler raises types of its own for data that it cannot read
        raise DoesNotApply(f"program {key} ({name}) cannot be read: {one_line(error)}") from error
    if workload.key != key:
        raise DoesNotApply(
            f"program {key} ({name}) hashes to {workload.key} here: another TVM wrote it or it was edited"
        )
    return workload


def apply_record(
    workload: Workload, record: TuningRecord, program_of: Callable[[str], str | None] = lambda key: None
) -> Applied:
    """Schedule a workload as a record says.

    The sketch generator takes no part: the trace is replayed, on the record's base program where it has one.

    Args:
        workload: What to schedule; found by its key.
        record: A valid record.
        program_of: Gives the text of a base program (:func:`program_lookup`).

    Returns:
        The scheduled module.

    Raises:
        DoesNotApply: If the record belongs to another workload, has no trace, holds what is not allowed,
            or TVM refuses the trace; whoever asked goes on with the next record.
    """
    where = f"record {record.plan_key} of {record.workload.name}"
    if record.workload.key != workload.key:
        raise DoesNotApply(f"{where} belongs to workload {record.workload.key}, not {workload.key}")
    if record.trace is None and record.plan.get("kind") == "default":
        return Applied(untuned_module(workload.func, str(json.loads(record.target)["kind"])), record)
    try:
        plan = replay_plan(record, program_of)
        check_trace(plan["trace"])
        if plan["base"] is not None:
            check_program(plan["base"])
    except InvalidLine as error:
        raise DoesNotApply(f"{where}: {error}") from error
    try:
        target_kind = str(json.loads(record.target)["kind"])
        base = workload.func if plan["base"] is None else tvm_api.load_json(plan["base"])
        module = finish_module(replay(_module_of(base), plan["trace"]), target_kind)
        _check_signature(module["main"], workload)
    except Exception as error:  # ScheduleError, TVM's internal errors, TypeErrors of its converters
        raise DoesNotApply(
            f"{where} no longer applies: {one_line(error)}; tune the workload again"
        ) from error
    return Applied(module, record)


def replay(module: Any, trace: Any) -> Any:
    """Apply a decoded trace to a module and return the scheduled module.

    Args:
        module: IRModule with the function ``main``.
        trace: ``Trace.as_json()`` as plain values, checked by the caller.

    Raises:
        tvm.error.TVMError: If an instruction does not fit.
    """
    ensure_registered(trace)
    schedule = tvm_api.Schedule(module)
    tvm_api.Trace.apply_json_to_schedule(trace, schedule)
    return schedule.mod


def _module_of(program: Any) -> Any:
    if isinstance(program, tvm_api.IRModule):
        return program
    return tvm_api.IRModule({"main": program.with_attr("global_symbol", "main")})


def _check_signature(func: Any, workload: Workload) -> None:
    found = [(tuple(int(extent) for extent in param.shape), str(param.dtype)) for param in func.params]
    wanted = [(arg.shape, arg.dtype) for arg in workload.args]
    if found != wanted:
        raise DoesNotApply(f"its parameters are {found}, the workload's are {wanted}")
