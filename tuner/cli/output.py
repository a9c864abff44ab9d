"""What commands print: one JSON object on standard output, all else for people."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_json(values: Any) -> None:
    """Write one JSON object to standard output; numbers that JSON lacks become null."""
    sys.stdout.write(json.dumps(_plain(values), indent=2) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Keep standard output for the JSON object.

    Whatever the compiler, a user's file or a child prints meanwhile goes to standard error.

    Args:
        wanted: Whether ``--json`` was given; otherwise nothing changes.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def people(as_json: bool) -> Console:
    """Return the console for tables: standard output, or standard error when that belongs to JSON."""
    return console(stderr=as_json)


def console(stderr: bool) -> Console:
    """Return a console that never cuts cells off where there is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, markup=False)


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table; columns whose cells are no text are aligned right.

    Args:
        title: Above the table.
        columns: A name that starts with ``>`` is aligned right.
        rows: Cells: texts, ``Text`` or None.
    """
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=_box())
    for name in columns:
        right = name.startswith(">")
        made.add_column(
            name.lstrip(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        made.add_row(
            *(cell if isinstance(cell, Text) else Text("-" if cell is None else str(cell)) for cell in row)
        )
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD
