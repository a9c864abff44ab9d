"""Records of many runs and machines in any database that SQLAlchemy reaches by URL.

SQLite is one file in WAL mode, synced on every commit. Install the extra ``store`` for this module.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import sqlalchemy as sa

from records.database_engine import LINES, Transaction, insert_new, open_engine
from records.encoding import decode_line, encode_line, line_identity
from records.errors import InvalidLine, NewerLog, Problem, StoreError
from records.plans import digest
from records.schema import SCHEMA_VERSION, Header, Line, ProgramLine, TuningRecord
from records.store import LogView, Query
from records.summary import Summary, SummaryReader


class DatabaseStore:
    """A :class:`records.store.RecordStore` in a database.

    Each line is a row that holds the same JSON as a log's line, with the columns that queries filter by
    beside it. Equal lines are stored once, so that importing twice changes nothing.

    Args:
        url: SQLAlchemy's URL, such as ``sqlite:///runs.db`` or ``postgresql://user@host/name``.
        read_only: Refuse to append.

    Raises:
        StoreError: If the database cannot be reached or its driver is not installed.
        NewerLog: If a newer program has written to it.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._reader = SummaryReader()
        self._read_only = read_only
        self._is_open = False
        self._engine, self._where = open_engine(url, read_only=read_only)
        self._is_open = True
        try:
            with self._transaction("read") as connection:
                self._refuse_newer(connection)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, lines: Iterable[Line]) -> None:
        """See :meth:`records.store.RecordStore.append`; one transaction per batch."""
        rows = [_row(line) for line in lines]
        if self._read_only:
            raise StoreError(f"records {self._where} are open for reading only: open them for writing")
        if not rows:
            return
        with self._transaction("write", writes=True) as connection:
            connection.execute(insert_new(connection), rows)

    def view(self, query: Query | None = None) -> LogView:
        """See :meth:`records.store.RecordStore.view`; a query is filtered by the database."""
        summaries: list[Summary] = []
        headers: list[Header] = []
        programs: dict[str, int] = {}
        problems: list[Problem] = []
        columns = (LINES.c.id, LINES.c.line)
        records = (
            sa.select(*columns).where(LINES.c.type == "record", *_conditions(query)).order_by(LINES.c.id)
        )
        with self._lock, self._transaction("read") as connection:
            self._refuse_newer(connection)
            for number, text in connection.execute(records.execution_options(yield_per=1000)):
                try:
                    item = self._reader.read(text.encode(), (number, 0), number)
                except InvalidLine as error:
                    problems.append(Problem(self._where, number, f"skipped a corrupt row: {error}"))
                    continue
                if isinstance(item, Summary):
                    summaries.append(item)
            for number, text in connection.execute(
                sa.select(*columns).where(LINES.c.type == "header").order_by(LINES.c.id)
            ):
                try:
                    header = decode_line(text.encode())
                except InvalidLine as error:
                    problems.append(Problem(self._where, number, f"skipped a corrupt row: {error}"))
                    continue
                if isinstance(header, Header):
                    headers.append(header)
            for number, key in connection.execute(
                sa.select(LINES.c.id, LINES.c.workload).where(LINES.c.type == "program")
            ):
                programs.setdefault(key, number)
        return LogView(
            self._where, tuple(summaries), tuple(headers), _Programs(self, programs), tuple(problems)
        )

    def load(self, summaries: Iterable[Summary]) -> list[TuningRecord]:
        """See :meth:`records.store.RecordStore.load`."""
        numbers = [summary.position[0] for summary in summaries]
        found = self.lines_at(numbers)
        records = []
        for number in numbers:
            line = found.get(number)
            if not isinstance(line, TuningRecord):
                raise StoreError(f"record {number} is no longer in {self._where}: look again")
            records.append(line)
        return records

    def close(self) -> None:
        """See :meth:`records.store.RecordStore.close`."""
        if self._is_open:
            self._is_open = False
            self._engine.dispose()

    def lines_at(self, numbers: list[int]) -> dict[int, Line]:
        """Decode the rows of some numbers; missing ones are left out.

        Raises:
            InvalidLine: If one is damaged.
        """
        lines: dict[int, Line] = {}
        with self._transaction("read") as connection:
            for start in range(0, len(numbers), 500):
                chosen = sa.select(LINES.c.id, LINES.c.line).where(
                    LINES.c.id.in_(numbers[start : start + 500])
                )
                for number, text in connection.execute(chosen):
                    try:
                        lines[number] = decode_line(text.encode())
                    except InvalidLine as error:
                        raise InvalidLine(
                            f"{self._where}:{number}: {error}: leave this record out"
                        ) from error
        return lines

    def _transaction(self, action: str, *, writes: bool = False) -> Transaction:
        if not self._is_open:
            raise StoreError(f"records {self._where} are closed: open them again")
        return Transaction(self._engine, f"cannot {action} records {self._where}", writes=writes)

    def _refuse_newer(self, connection: sa.Connection) -> None:
        newest = connection.execute(sa.select(sa.func.max(LINES.c.schema))).scalar()
        if newest is not None and newest > SCHEMA_VERSION:
            raise NewerLog(
                f"{self._where}: schema version {newest} is newer than this program's {SCHEMA_VERSION}: "
                "update tirtune to read or extend it; it is left untouched"
            )


class _Programs(Mapping[str, ProgramLine]):
    """Program rows, read when they are asked for."""

    def __init__(self, store: DatabaseStore, numbers: dict[str, int]) -> None:
        self._store = store
        self._numbers = numbers

    def __getitem__(self, key: str) -> ProgramLine:
        number = self._numbers[key]
        line = self._store.lines_at([number]).get(number)
        if not isinstance(line, ProgramLine):
            raise StoreError(f"program {key} is no longer in the database: look again")
        return line

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def _row(line: Line) -> dict[str, Any]:
    data = encode_line(line)
    row: dict[str, Any] = {"schema": line.schema, "line": data.decode(), "target": None, "threads": None}
    if isinstance(line, ProgramLine):
        identity = f"program:{digest(line.workload.key.encode())}"
        return row | {"identity": identity, "type": "program", "workload": line.workload.key, "session": None}
    row |= {"identity": line_identity(data), "session": line.session}
    if isinstance(line, Header):
        return row | {"type": "header", "workload": None}
    return row | {
        "type": "record",
        "workload": line.workload.key,
        "target": line.target,
        "threads": line.environment.threads,
    }


def _conditions(query: Query | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query is not None:
        if query.keys is not None:
            conditions.append(LINES.c.workload.in_(sorted(query.keys)))
        if query.target is not None:
            conditions.append(LINES.c.target == query.target)
        if query.threads is not None:
            conditions.append(LINES.c.threads == query.threads)
        if query.session is not None:
            conditions.append(LINES.c.session == query.session)
    return conditions
