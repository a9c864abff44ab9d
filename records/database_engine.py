"""Connecting to a database: the table, the transactions, and what differs between SQLite and servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    import sqlalchemy as sa
except ImportError as error:  # a clear remedy in place of a bare module name
    raise ImportError("record databases need SQLAlchemy: pip install 'tirtune[store]'") from error

from records.errors import StoreError, without_password

METADATA = sa.MetaData()

LINES = sa.Table(
    "tirtune_lines",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("identity", sa.String(64), nullable=False, unique=True),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("workload", sa.String(128)),
    sa.Column("target", sa.Text),
    sa.Column("threads", sa.Integer),
    sa.Column("session", sa.String(128)),
    sa.Column("line", sa.Text, nullable=False),
)
sa.Index("tirtune_lines_by_workload", LINES.c.type, LINES.c.workload)

_BUSY_SECONDS = 60

_KINDS = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
_FORMS = "PATH.jsonl, sqlite:///PATH, postgresql://USER@HOST/NAME or mysql://USER@HOST/NAME"

_SCHEMA_LOCK = 0x7469727475
"""Advisory lock of a PostgreSQL server that guards the making of the table; any number will do."""


def open_engine(url: str, *, read_only: bool) -> tuple[sa.Engine, str]:
    """Make the engine of a URL and check that the database answers.

    Args:
        url: SQLAlchemy's URL; ``postgresql://`` means its psycopg driver.
        read_only: Do not make the table or a missing SQLite file.

    Returns:
        The engine and the URL without its password.

    Raises:
        StoreError: If the URL is not understood, the driver is missing or the database does not answer.
    """
    where = without_password(url)
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreError(f"cannot open records {where}: it is no URL; use {_FORMS}") from error
    kind = parsed.get_backend_name()
    if kind not in _KINDS:
        raise StoreError(f"cannot open records {where}: unknown kind of database {kind!r}; use {_FORMS}")
    is_sqlite = kind == "sqlite"
    if is_sqlite and parsed.database in (None, "", ":memory:"):
        raise StoreError(f"cannot open records {where}: it names no file; use sqlite:///PATH")
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        options: dict[str, Any] = (
            {"connect_args": {"timeout": _BUSY_SECONDS}} if is_sqlite else {"pool_pre_ping": True}
        )
        engine = sa.create_engine(parsed, **options)
    except sa.exc.NoSuchModuleError as error:
        raise StoreError(f"cannot open records {where}: unknown driver; use {_FORMS}") from error
    except ImportError as error:
        raise StoreError(f"cannot open records {where}: install the database's driver ({error})") from error
    if is_sqlite:
        _check_sqlite_path(where, Path(str(parsed.database)), read_only)
        sa.event.listen(engine, "connect", _prepare_sqlite if read_only else _prepare_sqlite_to_write)
        sa.event.listen(engine, "begin", _begin_sqlite)
    with Transaction(engine, f"cannot open records {where}", writes=not read_only) as connection:
        if read_only:
            if not sa.inspect(connection).has_table(LINES.name):
                raise StoreError(
                    f"cannot open records {where}: the database holds no records; correct the address"
                )
        else:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            METADATA.create_all(connection, checkfirst=True)
    return engine, where


def insert_new(connection: sa.Connection) -> Any:
    """Return the statement that inserts rows and passes over those whose identity is known.

    Raises:
        StoreError: If the database has no such statement.
    """
    name = connection.dialect.name
    if name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(LINES).on_conflict_do_nothing(index_elements=["identity"])
    if name == "postgresql":
        from sqlalchemy.dialects import postgresql

        # Writers take turns: they never wait for each other in a ring, and numbers appear in order.
        connection.execute(sa.text(f"LOCK TABLE {LINES.name} IN SHARE ROW EXCLUSIVE MODE"))
        return postgresql.insert(LINES).on_conflict_do_nothing(index_elements=["identity"])
    if name in ("mysql", "mariadb"):
        return sa.insert(LINES).prefix_with("IGNORE")
    raise StoreError(f"records cannot be written to a {name} database: use sqlite, postgresql or mysql")


class Transaction:
    """A transaction whose database errors become :class:`StoreError` with one line."""

    def __init__(self, engine: sa.Engine, what: str, *, writes: bool = False) -> None:
        self._context = engine.execution_options(tirtune_writes=writes).begin()
        self._what = what

    def __enter__(self) -> sa.Connection:
        try:
            return self._context.__enter__()
        except sa.exc.SQLAlchemyError as error:
            raise self._translated(error) from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._context.__exit__(kind, error, trace)
        except sa.exc.SQLAlchemyError as raised:
            raise self._translated(raised) from raised
        if isinstance(error, sa.exc.SQLAlchemyError):
            raise self._translated(error) from error

    def _translated(self, error: sa.exc.SQLAlchemyError) -> StoreError:
        cause = getattr(error, "orig", None) or error
        text = " ".join(str(cause).split())[:300]
        return StoreError(f"{self._what}: {text}; check the address, the permissions and the space left")


def _check_sqlite_path(where: str, path: Path, read_only: bool) -> None:
    if path.is_dir():
        raise StoreError(f"cannot open records {where}: it is a folder; name a file")
    if read_only and not path.exists():
        raise StoreError(f"cannot open records {where}: there is no such file; correct the path")
    if not path.parent.is_dir():
        raise StoreError(f"cannot open records {where}: the folder {path.parent} does not exist; create it")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    cursor.close()


def _prepare_sqlite_to_write(connection: Any, record: Any) -> None:
    _prepare_sqlite(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("tirtune_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
