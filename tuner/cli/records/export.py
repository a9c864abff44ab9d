"""``tirtune records export``: records for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from records.errors import without_password
from records.opening import names_database, opened
from tuner.cli.output import only_json, print_json
from tuner.cli.parameters import (
    COUNT,
    with_debug,
    with_json,
)
from tuner.cli.records.stores import tell_problems
from tuner.errors import UserError
from tuner.units import counted

_TABLES = {".csv": "csv", ".parquet": "parquet"}


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
@click.option("--limit", type=COUNT, metavar="K", help="Best schedules of each task; all when absent.")
@with_json
@with_debug
def export(log: str, output: str, form: str | None, limit: int | None, as_json: bool) -> None:
    """Write a table of all records (CSV, Parquet), or the valid ones as a MetaSchedule JSON database."""
    if names_database(output):
        raise UserError(
            f"--output {without_password(output)} is a store of records: fill it with "
            f"tirtune records merge {without_password(log)} -o {without_password(output)}"
        )
    place = Path(output)
    form = form or _form_of(place)
    with only_json(as_json), opened([log]) as (store,):
        tell_problems(store.view().problems)
        values: dict[str, Any] = {"log": without_password(log), "output": output, "format": form}
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
        click.echo(f"{output}: {counted(values['records'], 'record')} written as {form}")


def _form_of(place: Path) -> str:
    if place.suffix in _TABLES:
        return _TABLES[place.suffix]
    if place.suffix and not place.is_dir():
        raise UserError(
            f"--output {place} has the ending {place.suffix!r}: end it in {' or '.join(_TABLES)} for a "
            "table, or say --format metaschedule for a folder"
        )
    return "metaschedule"
