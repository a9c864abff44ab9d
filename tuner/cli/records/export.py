"""``tirtune records export``: records for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tuner.cli.output import only_json, print_json
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import opened, tell_problems
from tuner.errors import UserError


@click.command("export", short_help="Write records for other programs.")
@click.argument("log", metavar="LOG")
@click.option(
    "--output",
    "-o",
    metavar="PLACE",
    required=True,
    help="A file for a table, a folder for a MetaSchedule database.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "metaschedule"]),
    help="Taken from the ending of PLACE when absent; a folder is a MetaSchedule database.",
)
@click.option("--limit", type=int, metavar="K", help="Best schedules of each task; all when absent.")
@with_json
@with_debug
def export(log: str, output: str, form: str | None, limit: int | None, as_json: bool) -> None:
    """Write a table of all records (CSV, Parquet), or the valid ones as a MetaSchedule JSON database."""
    if limit is not None and limit < 1:
        raise UserError(f"--limit must be at least 1, got {limit}")
    place = Path(output)
    form = form or {".csv": "csv", ".parquet": "parquet"}.get(place.suffix, "metaschedule")
    with only_json(as_json), opened([log]) as (store,):
        tell_problems(store.view().problems)
        values: dict[str, Any] = {"log": log, "output": output, "format": form}
        if form == "metaschedule":
            from records.interop.metaschedule_export import export_database

            done = export_database(store, place, limit=limit)
            tell_problems(done.skipped)
            values |= {"records": done.records, "workloads": done.workloads}
            values["skipped"] = [str(problem) for problem in done.skipped]
        else:
            from records.interop.table import write_table

            if limit is not None:
                raise UserError("--limit is for --format metaschedule: a table holds every record")
            if place.suffix != f".{form}":
                raise UserError(f"--output {output} must end in .{form} for --format {form}")
            values["records"] = write_table(store.view().summaries, place)
    if as_json:
        print_json(values)
    else:
        click.echo(f"{output}: {values['records']} records written as {form}")
