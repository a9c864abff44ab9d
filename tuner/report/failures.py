"""What failed in a log and why: stages and messages, most frequent first."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import msgspec

from records.errors import InvalidLine
from records.store import LogView, RecordStore

MOST_RECORDS = 5000
"""Failed records whose messages are read; of more, the newest."""

_NUMBER = re.compile(r"(?<![A-Za-z_])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures with one message, numbers in it aside.

    Attributes:
        stage: Where they failed.
        message: The message of one of them.
        count: How many.
        workloads: Names of the tasks, sorted.
    """

    stage: str
    message: str
    count: int
    workloads: tuple[str, ...]


def causes_of(store: RecordStore, view: LogView, key: str | None = None) -> list[Cause]:
    """Group the failed trials of a log by their messages.

    Args:
        store: Where the messages are.
        view: Its records.
        key: Only this workload's.

    Returns:
        The causes, most frequent first.
    """
    failed = [s for s in view.summaries if s.stage is not None and key in (None, s.key)]
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for summary in failed[-MOST_RECORDS:]:
        try:
            (record,) = store.load([summary])
        except (InvalidLine, msgspec.MsgspecError) as error:
            message = f"the record is damaged: {error}"
        else:
            message = record.failure.message if record.failure else ""
        identity = (str(summary.stage), _NUMBER.sub("#", message))
        counts[identity] += 1
        examples.setdefault(identity, message)
        names.setdefault(identity, set()).add(summary.name)
    return [
        Cause(identity[0], examples[identity], count, tuple(sorted(names[identity])))
        for identity, count in counts.most_common()
    ]
