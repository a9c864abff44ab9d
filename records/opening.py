"""From the text that a user gives to the store it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from records.errors import StoreError, without_password
from records.jsonl import JsonlStore
from records.memory import MemoryStore
from records.store import RecordStore

_SQLITE = "sqlite:///"


def names_database(where: str) -> bool:
    """Return whether a text means a database: a URL, or a path with the ending of one."""
    return "://" in where or where.endswith((".db", ".sqlite", ".sqlite3"))


def is_same_place(one: str, other: str) -> bool:
    """Return whether two texts mean one store, however they spell its path."""
    if one == other:
        return True
    if "://" in one.removeprefix(_SQLITE) or "://" in other.removeprefix(_SQLITE):
        return False
    first, second = (Path(text.removeprefix(_SQLITE)) for text in (one, other))
    return first.resolve() == second.resolve() or (
        first.exists() and second.exists() and first.samefile(second)
    )


def open_store(where: str | Path, *, read_only: bool = False, create: bool = True) -> RecordStore:
    """Open the store that a path or URL names.

    Args:
        where: A path of a log; a path that ends in ``.db`` or ``.sqlite``, or a URL such as ``sqlite:///runs.db``
            and ``postgresql://user@host/name``, for a database; ``memory:`` for none.
        read_only: Never change what is there.
        create: Make a log that is missing.

    Raises:
        StoreError: If it cannot be opened.
        NotALog: If the file holds something else.
        NewerLog: If a newer program wrote it.
    """
    text = str(where)
    if not text:
        raise StoreError("cannot open records '': the name is empty; name a log or a database")
    if text == "memory:":
        return MemoryStore()
    if names_database(text):
        try:
            from records.database import DatabaseStore  # an optional dependency
        except ImportError as error:
            raise StoreError(f"cannot open records {without_password(text)}: {error}") from error
        return DatabaseStore(text if "://" in text else f"sqlite:///{text}", read_only=read_only)
    return JsonlStore(Path(text), read_only=read_only, create=create and not read_only)


@contextmanager
def opened(places: Sequence[str], *, read_only: bool = True) -> Iterator[list[RecordStore]]:
    """Open stores and close them at the end.

    Args:
        places: Paths or URLs.
        read_only: Whether they must exist and are never changed, not even to repair a torn tail.

    Raises:
        StoreError: If one cannot be opened, or would not outlive the caller.
        NotALog: If one holds something else.
        NewerLog: If a newer program wrote it.
    """
    with ExitStack() as stack:
        stores: list[RecordStore] = []
        for place in places:
            if place == "memory:":
                raise StoreError("memory: holds nothing and keeps nothing: name a log or a database")
            store = open_store(place, read_only=read_only, create=not read_only)
            stack.callback(store.close)
            stores.append(store)
        yield stores
