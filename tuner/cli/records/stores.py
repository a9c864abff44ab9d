"""What commands refuse of the stores they are given, and what they say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from records.errors import Problem
from records.opening import is_same_place
from tuner.errors import UserError

_SHOWN = 20
"""Most problems that are listed one by one."""


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
