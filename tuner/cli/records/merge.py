"""``tirtune records merge``: a union of logs."""

from __future__ import annotations

import click

from records.errors import without_password
from records.merge import merge as merge_stores
from records.opening import opened
from tuner.cli.output import print_json
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import refuse_to_overwrite, tell_problems
from tuner.units import counted


@click.command("merge", short_help="Add logs to another log.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("--output", "-o", metavar="LOG", required=True, help="What to add to; made when it is missing.")
@with_json
@with_debug
def merge(logs: tuple[str, ...], output: str, as_json: bool) -> None:
    """Add the records of LOG... to another log that lacks them.

    Merging again changes nothing, and the order of the logs does not matter.
    """
    refuse_to_overwrite(output, logs)
    with opened(logs) as sources, opened([output], read_only=False) as (store,):
        done = merge_stores(sources, store)
    tell_problems(done.problems)
    if as_json:
        print_json(
            {
                "output": without_password(output),
                "read": done.read,
                "added": done.added,
                "duplicates": done.duplicates,
                "programs": done.programs,
                "headers": done.headers,
                "problems": [str(problem) for problem in done.problems],
            }
        )
        return
    click.echo(
        f"{without_password(output)}: {counted(done.added, 'record')} added of {done.read} read, "
        f"{done.duplicates} were there, {counted(done.programs, 'program')}, "
        f"{counted(done.headers, 'session')}"
    )
