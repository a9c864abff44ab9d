"""Opening and closing the stores that a command names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import click

from records.errors import Problem
from records.opening import is_same_place, open_store
from records.store import RecordStore
from tuner.errors import UserError

_SHOWN = 20
"""Most problems that are listed one by one."""


@contextlib.contextmanager
def opened(places: Sequence[str], *, read_only: bool = True) -> Iterator[list[RecordStore]]:
    """Open stores and close them at the end.

    Args:
        places: Paths or URLs.
        read_only: Whether they must exist and are never changed, not even to repair a torn tail.

    Raises:
        StoreError: If one cannot be opened.
        NotALog: If one holds something else.
        NewerLog: If a newer program wrote it.
        UserError: If one would not outlive the command.
    """
    with contextlib.ExitStack() as stack:
        stores: list[RecordStore] = []
        for place in places:
            if place == "memory:":
                raise UserError("memory: holds nothing and keeps nothing: name a log or a database")
            store = open_store(place, read_only=read_only, create=not read_only)
            stack.callback(store.close)
            stores.append(store)
        yield stores


def refuse_to_overwrite(output: str, sources: Sequence[str]) -> None:
    """Refuse an output that is one of the logs to read, however its path is spelled.

    Raises:
        UserError: If it is.
    """
    for source in sources:
        if is_same_place(output, source):
            also = "" if output == source else f" ({source})"
            raise UserError(f"--output {output} is a log to read{also}: name another; it is never changed")


def tell_problems(problems: Iterable[Problem]) -> None:
    """List what was skipped or repaired on standard error."""
    listed = list(problems)
    for problem in listed[:_SHOWN]:
        click.echo(f"warning: {problem}", err=True)
    if len(listed) > _SHOWN:
        click.echo(f"warning: and {len(listed) - _SHOWN} more", err=True)
