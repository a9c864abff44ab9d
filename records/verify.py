"""Reading every byte of a log and saying what is wrong with it, without the compiler."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from records.encoding import unpack_text
from records.errors import InvalidLine, Problem
from records.plans import base_key, plan_key
from records.schema import TuningRecord
from records.store import RecordStore
from records.trace_check import check_program, check_trace
from records.walking import walk_programs, walk_records


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Outcome of :func:`verify`.

    Attributes:
        where: File or URL.
        records: Records that are whole.
        replayable: Records with a trace that may be replayed.
        programs: Programs that are whole.
        headers: Session headers.
        problems: Everything that was found wrong.
    """

    where: str
    records: int
    replayable: int
    programs: int
    headers: int
    problems: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(store: RecordStore) -> VerifyReport:
    """Decode everything, inflate traces and programs, and check identities and references."""
    view = store.view()
    problems = list(view.problems)
    programs = set()
    for line in walk_programs(view, problems):
        key = line.workload.key
        try:
            text = unpack_text(line.program)
            check_program(text)
            if key.startswith("base:") and base_key(text) != key:
                raise InvalidLine("the program's digest is not its key")
            programs.add(key)
        except InvalidLine as error:
            problems.append(Problem(view.where, 0, f"program {key}: {error}"))
    records = replayable = 0
    for summary, record in walk_records(store, view.summaries, problems):
        records += 1
        try:
            _check_record(record, programs)
        except InvalidLine as error:
            problems.append(Problem(view.where, summary.number, str(error)))
        else:
            replayable += record.trace is not None
    return VerifyReport(view.where, records, replayable, len(programs), len(view.headers), tuple(problems))


def _check_record(record: TuningRecord, programs: set[str]) -> None:
    if record.plan.get("kind") != "trace" and plan_key(record.plan) != record.plan_key:
        raise InvalidLine(f"plan_key {record.plan_key} does not belong to the plan: the record was edited")
    if record.base is not None and record.base not in programs:
        raise InvalidLine(f"base program {record.base} is not in the log")
    if record.trace is not None:
        try:
            trace = msgspec.json.decode(unpack_text(record.trace))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidLine(f"the trace is not JSON: {error}") from error
        check_trace(trace)
