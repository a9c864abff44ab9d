"""Records that live as long as the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Self

from records.encoding import decode_line, encode_line
from records.errors import StoreError
from records.schema import Header, Line, ProgramLine, TuningRecord
from records.store import LogView, Query
from records.summary import Summary, SummaryReader


class MemoryStore:
    """A :class:`records.store.RecordStore` without a file; nothing outlives the process."""

    def __init__(self, where: str = "memory:") -> None:
        self._where = where
        self._lock = threading.Lock()
        self._reader = SummaryReader()
        self._records: list[TuningRecord] = []
        self._summaries: list[Summary] = []
        self._headers: list[Header] = []
        self._programs: dict[str, ProgramLine] = {}
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, lines: Iterable[Line]) -> None:
        """See :meth:`records.store.RecordStore.append`."""
        copies = [decode_line(encode_line(line)) for line in lines]
        with self._lock:
            self._check_open()
            for line in copies:
                if isinstance(line, Header):
                    self._headers.append(line)
                elif isinstance(line, ProgramLine):
                    self._programs.setdefault(line.workload.key, line)
                else:
                    position = (len(self._records), 0)
                    self._summaries.append(self._reader.of_record(line, position, len(self._records) + 1))
                    self._records.append(line)

    def view(self, query: Query | None = None) -> LogView:
        """See :meth:`records.store.RecordStore.view`."""
        with self._lock:
            self._check_open()
            return LogView(
                where=self._where,
                summaries=tuple(s for s in self._summaries if query is None or query.matches(s)),
                headers=tuple(self._headers),
                programs=dict(self._programs),
            )

    def load(self, summaries: Iterable[Summary]) -> list[TuningRecord]:
        """See :meth:`records.store.RecordStore.load`."""
        with self._lock:
            self._check_open()
            return [self._records[summary.position[0]] for summary in summaries]

    def close(self) -> None:
        """See :meth:`records.store.RecordStore.close`."""
        self._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError(f"store {self._where} is closed: open it again")
