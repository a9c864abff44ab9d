"""``tirtune records merge``: a union of logs."""

from __future__ import annotations

import click

from records.merge import merge as merge_stores
from tuner.cli.output import print_json
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import opened, tell_problems
from tuner.errors import UserError


@click.command("merge", short_help="Add logs to another log.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("--output", "-o", metavar="LOG", required=True, help="What to add to; made when it is missing.")
@with_json
@with_debug
def merge(logs: tuple[str, ...], output: str, as_json: bool) -> None:
    """Add the records of LOG... to another log that lacks them.

    Merging again changes nothing, and the order of the logs does not matter.
    """
    if output in logs:
        raise UserError(
            f"--output {output} is one of the logs to read: name another, or leave it out of them"
        )
    with opened(logs) as sources, opened([output], read_only=False) as (store,):
        done = merge_stores(sources, store)
    tell_problems(done.problems)
    if as_json:
        print_json(
            {
                "output": output,
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
        f"{output}: {done.added} records added of {done.read} read, {done.duplicates} were there, "
        f"{done.programs} programs, {done.headers} sessions"
    )
