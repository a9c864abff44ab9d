"""Bringing logs together, and keeping the best of one.

Merging is a union of sets of lines: idempotent, commutative and associative. Into a new log it writes the
same bytes whatever the order of its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from records.encoding import encode_line, line_identity
from records.errors import Problem
from records.ranking import group_by_task, rank
from records.schema import Header, Line, ProgramLine
from records.store import LogView, RecordStore
from records.summary import Summary
from records.walking import BATCH, walk_programs, walk_records


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What :func:`merge` or :func:`prune` did.

    Attributes:
        read: Records in the sources.
        added: Records written to the output.
        duplicates: Records left out because an equal one was there.
        programs: Programs written.
        headers: Session headers written.
        problems: What was damaged and left out.
    """

    read: int
    added: int
    duplicates: int
    programs: int
    headers: int
    problems: tuple[Problem, ...]


def merge(sources: Sequence[RecordStore], output: RecordStore) -> MergeReport:
    """Add the lines of some stores to another that lacks them.

    Args:
        sources: What to read.
        output: What to add to; a new store for a plain union.

    Returns:
        What was done. Of several programs under one key, the smallest line is kept.
    """
    problems: list[Problem] = []
    there = output.view()
    known = {line_identity(encode_line(r)) for _, r in walk_records(output, there.summaries, problems)}
    found: dict[str, tuple[tuple[float, str, int], int, Summary]] = {}
    views = [store.view() for store in sources]
    read = 0
    for index, (store, view) in enumerate(zip(sources, views, strict=True)):
        problems += view.problems
        for summary, record in walk_records(store, view.summaries, problems):
            read += 1
            identity = line_identity(encode_line(record))
            if identity not in known:
                order = (record.time_unix, record.session, record.trial)
                found.setdefault(identity, (order, index, summary))
    headers = _new_headers((h for view in views for h in view.headers), there.headers)
    programs = _smallest_programs(views, set(there.programs), problems)
    wanted = sorted((order, identity, index, summary) for identity, (order, index, summary) in found.items())
    _append_in_batches(output, headers)
    _append_in_batches(output, programs)
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        output.append([sources[index].load([summary])[0] for _, _, index, summary in batch])
    return MergeReport(
        read, len(wanted), read - len(wanted), len(programs), len(headers), tuple(dict.fromkeys(problems))
    )


def prune(source: RecordStore, output: RecordStore, *, keep: int) -> MergeReport:
    """Write the best plans of every task, their baselines, and the programs they need.

    Failed and slower candidates are left out: a session that resumes from the result may measure them again.

    Args:
        source: What to read; it is not changed.
        output: Where to write.
        keep: Plans of each task to keep, at least 1.

    Raises:
        ValueError: If ``keep`` is below 1.
    """
    if keep < 1:
        raise ValueError(f"cannot prune to {keep} plans a task: keep at least 1")
    view = source.view()
    problems = list(view.problems)
    chosen: list[Summary] = []
    for group in group_by_task(view.summaries).values():
        plans = {ranked.summary.plan_key for ranked in rank(group, keep)}
        chosen += [s for s in group if s.kind == "baseline" or (s.plan_key in plans and s.is_valid)]
    chosen.sort(key=lambda s: s.number)
    sessions = {summary.session for summary in chosen}
    keys = {summary.key for summary in chosen}
    bases = {record.base for _, record in walk_records(source, chosen, []) if record.base is not None}
    headers: list[Line] = [header for header in view.headers if header.session in sessions]
    programs: list[Line] = [p for p in walk_programs(view, problems) if p.workload.key in keys | bases]
    _append_in_batches(output, headers)
    _append_in_batches(output, programs)
    added = 0
    for batch in _batches([record for _, record in walk_records(source, chosen, problems)]):
        output.append(batch)
        added += len(batch)
    return MergeReport(len(view.summaries), added, 0, len(programs), len(headers), tuple(problems))


def _new_headers(headers: Iterable[Header], known: Iterable[Header]) -> list[Line]:
    seen = {encode_line(header) for header in known}
    fresh = {(h.time_unix, h.session, encode_line(h)): h for h in headers}
    return [fresh[order] for order in sorted(fresh) if order[2] not in seen]


def _smallest_programs(views: Iterable[LogView], known: set[str], problems: list[Problem]) -> list[Line]:
    smallest: dict[str, tuple[bytes, ProgramLine]] = {}
    for view in views:
        for program in walk_programs(view, problems):
            key = program.workload.key
            if key in known:
                continue
            data = encode_line(program)
            if key not in smallest or (len(data), data) < (len(smallest[key][0]), smallest[key][0]):
                smallest[key] = (data, program)
    return [smallest[key][1] for key in sorted(smallest)]


def _append_in_batches(output: RecordStore, lines: Sequence[Line]) -> None:
    for batch in _batches(lines):
        output.append(batch)


def _batches(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    for start in range(0, len(lines), BATCH):
        yield lines[start : start + BATCH]
