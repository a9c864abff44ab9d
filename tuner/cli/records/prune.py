"""``tirtune records prune``: a smaller log with the best of every task."""

from __future__ import annotations

import click

from records.errors import without_password
from records.merge import prune as prune_store
from records.opening import opened
from tuner.cli.output import print_json
from tuner.cli.parameters import (
    COUNT,
    with_debug,
    with_json,
)
from tuner.cli.records.stores import refuse_to_overwrite, tell_problems
from tuner.errors import UserError
from tuner.units import counted


@click.command("prune", short_help="Keep the best schedules of every task.")
@click.argument("log", metavar="LOG")
@click.option("--output", "-o", metavar="LOG", required=True, help="The new log; LOG itself is not changed.")
@click.option(
    "--keep", type=COUNT, default=10, show_default=True, metavar="K", help="Schedules of each task."
)
@with_json
@with_debug
def prune(log: str, output: str, keep: int, as_json: bool) -> None:
    """Write the best schedules of every task, with their baselines and programs, to a new log.

    Failures and slower schedules are left out: a run that goes on from it may measure them again.
    """
    refuse_to_overwrite(output, [log])
    place = without_password(output)
    with opened([log]) as (source,), opened([output], read_only=False) as (store,):
        if held := len(store.view().summaries):
            raise UserError(f"--output {place} holds {counted(held, 'record')} already: name a new log")
        done = prune_store(source, store, keep=keep)
    tell_problems(done.problems)
    if as_json:
        problems = [str(problem) for problem in done.problems]
        print_json({"output": place, "read": done.read, "kept": done.added, "problems": problems})
        return
    kept, programs = counted(done.added, "record"), counted(done.programs, "program")
    click.echo(f"{place}: {kept} kept of {done.read}, {programs}")
