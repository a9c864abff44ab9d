"""Going through the whole records of a store in bounded memory, damaged ones left out and reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from records.errors import InvalidLine, Problem
from records.schema import ProgramLine, TuningRecord
from records.store import LogView, RecordStore
from records.summary import Summary

BATCH = 500
"""Records in memory at a time: some megabytes."""


def walk_records(
    store: RecordStore, summaries: Sequence[Summary], problems: list[Problem]
) -> Iterator[tuple[Summary, TuningRecord]]:
    """Yield whole records with their summaries.

    Args:
        store: Where the summaries come from.
        summaries: Which records, in the order wanted.
        problems: Damaged records are added here and left out.
    """
    for start in range(0, len(summaries), BATCH):
        batch = summaries[start : start + BATCH]
        try:
            yield from zip(batch, store.load(batch), strict=True)
        except InvalidLine:
            for summary in batch:
                try:
                    (record,) = store.load([summary])
                except InvalidLine as error:
                    problems.append(Problem("", summary.number, str(error)))
                else:
                    yield summary, record


def walk_programs(view: LogView, problems: list[Problem]) -> Iterator[ProgramLine]:
    """Yield the programs of a view in the order of their keys; damaged ones are reported."""
    for key in sorted(view.programs):
        try:
            yield view.programs[key]
        except InvalidLine as error:
            problems.append(Problem("", 0, str(error)))
