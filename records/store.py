"""What every place that keeps records can do, and what may be relied on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from records.errors import Problem
from records.schema import Header, Line, ProgramLine, TuningRecord
from records.summary import Summary


@dataclass(frozen=True, slots=True)
class Query:
    """Which records are wanted; an absent field matches everything.

    Attributes:
        keys: Structural hashes of workloads.
        target: Canonical JSON of the target.
        threads: Thread count.
        session: Session identifier.
    """

    keys: frozenset[str] | None = None
    target: str | None = None
    threads: int | None = None
    session: str | None = None

    def matches(self, summary: Summary) -> bool:
        """Report whether a record is wanted."""
        return (
            (self.keys is None or summary.key in self.keys)
            and (self.target is None or summary.target == self.target)
            and (self.threads is None or summary.environment.threads == self.threads)
            and (self.session is None or summary.session == self.session)
        )


@dataclass(frozen=True, slots=True)
class LogView:
    """What a store holds at one moment.

    Attributes:
        where: File or URL.
        summaries: The wanted records, oldest first as the store keeps them.
        headers: Every session's header.
        programs: Program lines by key, decoded when they are asked for; a damaged one raises
            :class:`records.errors.InvalidLine` then.
        problems: What was skipped or repaired since the store was opened.
    """

    where: str
    summaries: Sequence[Summary]
    headers: Sequence[Header]
    programs: Mapping[str, ProgramLine]
    problems: Sequence[Problem] = field(default=())


@runtime_checkable
class RecordStore(Protocol):
    """Keeps the lines of tuning logs.

    Threads and processes: every method may be called from any thread; several stores, in several
    processes, may be open on the same place and write at the same time without losing a line. A store
    is not carried over a fork: open it anew in the child.

    Durability: when :meth:`append` returns, the lines survive a kill of the process and a loss of power
    (as far as the disk keeps its word). When it raises, none of them is stored, and whatever had been
    acknowledged before still is. A crash inside it may leave a prefix of the batch.

    Equality: a program line whose key is known already is not stored again. Equal records may be stored
    once or several times; whoever counts must not rely on either.

    Ownership: values that go in and out are immutable. The caller closes the store.
    """

    def append(self, lines: Iterable[Line]) -> None:
        """Store a batch, in this order, all of it or nothing.

        Raises:
            InvalidLine: If a line is not valid or too long; nothing is stored.
            StoreError: If the place cannot be written (closed, read-only, full, lost connection).
        """

    def view(self, query: Query | None = None) -> LogView:
        """Return what is stored now, other writers' lines included.

        Raises:
            NewerLog: If a newer program has written here meanwhile.
            StoreError: If the place cannot be read.
        """

    def load(self, summaries: Iterable[Summary]) -> list[TuningRecord]:
        """Return whole records, in the order of their summaries.

        Args:
            summaries: From a view of this very store.

        Raises:
            InvalidLine: If a plan, trace or other skipped field of one is damaged; names the line.
            StoreError: If the place cannot be read or no longer holds one of them.
        """

    def close(self) -> None:
        """Release the place; a second call does nothing."""
