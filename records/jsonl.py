"""The log itself: a file of JSON lines that several processes may append to."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from records.encoding import decode_line, encode_line
from records.errors import InvalidLine, NewerLog, NotALog, Problem, StoreError
from records.logfile import LogFile, not_a_log
from records.schema import MAX_LINE_BYTES, Header, Line, ProgramLine, TuningRecord
from records.store import LogView, Query
from records.summary import Summary, SummaryReader

_PROBLEMS_KEPT = 1000
_LINES_BEFORE_GIVING_UP = 1000


class JsonlStore:
    """A :class:`records.store.RecordStore` in one append-only file.

    Opening reads the whole file once, lightly; a view reads only what was added since, and appending
    takes the same time whatever the size. Plans, traces and programs stay on disk until they are loaded.

    Args:
        path: The file.
        read_only: Never change the file, not even to repair its tail.
        create: Make the file when it is missing (its folder must exist).

    Raises:
        StoreError: If it cannot be opened.
        NotALog: If it holds something else.
        NewerLog: If a newer program wrote it. In these cases the file is left untouched.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False, create: bool = True) -> None:
        self._path = Path(path)
        self._lock = threading.RLock()
        self._reader = SummaryReader()
        self._summaries: list[Summary] = []
        self._headers: list[Header] = []
        self._programs: dict[str, tuple[int, int]] = {}
        self._stored_programs: set[str] = set()
        self._problems: list[Problem] = []
        self._problem_count = 0
        self._end = 0
        self._line_count = 0
        self._tail_offset = -1
        self._file = LogFile(self._path, read_only=read_only, create=create)
        try:
            whole, tail = self._file.peek()  # before any repair: it may not be ours to repair
            self._read_to(whole)
            self._check_is_log(tail)
            self._refresh()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, lines: Iterable[Line]) -> None:
        """See :meth:`records.store.RecordStore.append`; one write and one sync per batch."""
        with self._lock:
            new_programs: set[str] = set()
            encoded: list[bytes] = []
            for line in lines:
                if isinstance(line, ProgramLine):
                    key = line.workload.key
                    if key in self._programs or key in self._stored_programs or key in new_programs:
                        continue
                    new_programs.add(key)
                encoded.append(encode_line(line))
            if not encoded:
                return
            encoded.append(b"")
            for problem in self._file.append(b"\n".join(encoded)):
                self._report(problem)
            self._stored_programs |= new_programs

    def view(self, query: Query | None = None) -> LogView:
        """See :meth:`records.store.RecordStore.view`."""
        with self._lock:
            self._refresh()
            summaries = self._summaries
            chosen = tuple(summaries) if query is None else tuple(s for s in summaries if query.matches(s))
            problems = list(self._problems)
            if self._problem_count > len(problems):
                more = self._problem_count - len(problems)
                problems.append(Problem(str(self._path), 0, f"{more} more lines were skipped"))
            return LogView(
                where=str(self._path),
                summaries=chosen,
                headers=tuple(self._headers),
                programs=_Programs(self, dict(self._programs)),
                problems=tuple(problems),
            )

    def load(self, summaries: Iterable[Summary]) -> list[TuningRecord]:
        """See :meth:`records.store.RecordStore.load`."""
        records = []
        for summary in summaries:
            line = self.line_at(summary.position, summary.number)
            if not isinstance(line, TuningRecord):
                raise StoreError(f"{self._path}:{summary.number}: no longer a record: open the log again")
            records.append(line)
        return records

    def close(self) -> None:
        """See :meth:`records.store.RecordStore.close`."""
        with self._lock:
            self._file.close()

    def line_at(self, position: tuple[int, int], number: int = 0) -> Line:
        """Decode the line at an offset and length.

        Raises:
            InvalidLine: If it is damaged.
            StoreError: If it cannot be read.
        """
        with self._lock:
            try:
                data = self._file.read(*position)
            except OSError as error:
                raise StoreError(f"cannot read log {self._path}: {error.strerror}; check the disk") from error
        try:
            return decode_line(data)
        except InvalidLine as error:
            where = f"{self._path}:{number}" if number else f"{self._path}, byte {position[0]}"
            raise InvalidLine(f"{where}: {error}: leave this record out or restore the file") from error

    def _refresh(self) -> None:
        whole, tail, repairs = self._file.settle()
        self._read_to(whole)
        for problem in repairs:
            self._report(problem)
        if tail and self._end == whole:
            self._take_tail(tail)

    def _read_to(self, end: int) -> None:
        """Index the lines up to ``end``."""
        if end < self._end:
            raise StoreError(f"log {self._path} became shorter while in use: open it again")
        for offset, length, data in self._file.lines(self._end, end):
            self._line_count += 1
            if offset != self._tail_offset:
                self._take_line(self._line_count, offset, length, data)
            if self._line_count == _LINES_BEFORE_GIVING_UP:
                self._check_is_log()
        self._end = end

    def _take_line(self, number: int, offset: int, length: int, data: bytes | None) -> None:
        if data is None or length > MAX_LINE_BYTES:
            text = f"skipped a line of {length} bytes, more than the limit of {MAX_LINE_BYTES}"
            self._report(Problem(str(self._path), number, text))
            return
        if not data.strip():
            return
        try:
            item = self._reader.read(data, (offset, length), number)
        except NewerLog as error:
            raise NewerLog(f"{self._path}:{number}: {error}") from error
        except InvalidLine as error:
            self._report(Problem(str(self._path), number, f"skipped a corrupt line: {error}"))
            return
        if isinstance(item, Summary):
            self._summaries.append(item)
        elif isinstance(item, Header):
            self._headers.append(item)
        else:
            self._programs.setdefault(item, (offset, length))

    def _take_tail(self, tail: bytes) -> None:
        """Use or report an unfinished last line of a file that may not be repaired."""
        if self._tail_offset == self._end:
            return
        try:
            decode_line(tail)
        except InvalidLine as error:
            text = f"left out an unfinished last line ({error}); opening the log for writing repairs it"
            problem = Problem(str(self._path), self._line_count + 1, text)
            if problem not in self._problems:
                self._report(problem)
            return
        self._take_line(self._line_count + 1, self._end, len(tail), tail)
        self._tail_offset = self._end

    def _check_is_log(self, tail: bytes = b"") -> None:
        """Refuse a file whose lines were all corrupt; a valid unfinished tail speaks for it."""
        if self._summaries or self._headers or self._programs or not self._problem_count:
            return
        try:
            decode_line(tail)
        except InvalidLine:
            raise NotALog(not_a_log(self._path, self._file.read(0, 40))) from None

    def _report(self, problem: Problem) -> None:
        self._problem_count += 1
        if len(self._problems) < _PROBLEMS_KEPT:
            self._problems.append(problem)


class _Programs(Mapping[str, ProgramLine]):
    """Program lines of a log, read when they are asked for."""

    def __init__(self, store: JsonlStore, positions: dict[str, tuple[int, int]]) -> None:
        self._store = store
        self._positions = positions

    def __getitem__(self, key: str) -> ProgramLine:
        line = self._store.line_at(self._positions[key])
        if not isinstance(line, ProgramLine):
            raise StoreError(f"program {key} is no longer in the log: open it again")
        return line

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)
