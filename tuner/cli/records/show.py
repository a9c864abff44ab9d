"""``tirtune records show``: records in full."""

from __future__ import annotations

import json

import click

from records.opening import opened
from records.reports import find_records
from tuner.cli.output import print_json
from tuner.cli.parameters import (
    COUNT,
    with_debug,
    with_json,
)
from tuner.cli.records.stores import tell_problems
from tuner.errors import UserError


@click.command("show", short_help="Print records in full.")
@click.argument("log", metavar="LOG")
@click.argument("wanted", metavar="RECORD")
@click.option(
    "--limit", type=COUNT, default=10, show_default=True, metavar="N", help="Most records to print."
)
@click.option("--trace/--no-trace", default=False, show_default=True, help="Whether to print TVM's traces.")
@with_json
@with_debug
def show(log: str, wanted: str, limit: int, trace: bool, as_json: bool) -> None:
    """Print records in full.

    RECORD is a plan key as `records best` prints it (or its beginning), a workload's name (or a part of
    it) or key, a session, or '#N' for line N.
    """
    if not wanted:
        raise UserError("RECORD is empty: give a plan key, a workload's name, or '#N' for line N")
    with opened([log]) as (store,):
        tell_problems(store.view().problems)
        matches, found = find_records(store, wanted, limit)
    if not found:
        raise UserError(
            f"{log} holds no record {wanted!r}: give a plan key (tirtune records best {log}), "
            "a workload's name, or '#N' for line N"
        )
    for row in found:
        if not trace and "trace" in row and row["trace"] is not None:
            row["trace"] = f"{len(row['trace'][0])} instructions (see --trace)"
            if row.get("plan", {}).get("kind") == "trace":
                row["plan"] = {"kind": "trace"}
    if as_json:
        print_json({"records": found, "matches": matches})
        return
    for row in found:
        click.echo(json.dumps(row, indent=2))
    if matches > len(found):
        click.echo(f"{len(found)} of {matches} records shown: see the rest with --limit {matches}", err=True)
