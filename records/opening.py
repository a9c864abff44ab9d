"""From the text that a user gives to the store it means."""

from __future__ import annotations

from pathlib import Path

from records.errors import StoreError
from records.jsonl import JsonlStore
from records.memory import MemoryStore
from records.store import RecordStore


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
    if text == "memory:":
        return MemoryStore()
    if "://" in text or text.endswith((".db", ".sqlite", ".sqlite3")):
        try:
            from records.database import DatabaseStore  # an optional dependency
        except ImportError as error:
            raise StoreError(f"cannot open records {text}: {error}") from error
        return DatabaseStore(text if "://" in text else f"sqlite:///{text}", read_only=read_only)
    return JsonlStore(Path(text), read_only=read_only, create=create and not read_only)
