"""``tirtune records best``: the best schedules of every task."""

from __future__ import annotations

from typing import Any

import click

from records.errors import without_password
from records.opening import opened
from records.reports import best_rows
from tuner.cli.output import people, print_json, table
from tuner.cli.parameters import (
    COUNT,
    with_debug,
    with_json,
)
from tuner.cli.records.stores import tell_problems
from tuner.errors import UserError
from tuner.units import rate, seconds, times


@click.command("best", short_help="List the best schedules of every task.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option(
    "--limit", type=COUNT, default=1, show_default=True, metavar="K", help="Schedules of each task."
)
@click.option("--workload", metavar="TEXT", help="Only tasks whose name contains the text, or with this key.")
@with_json
@with_debug
def best(logs: tuple[str, ...], limit: int, workload: str | None, as_json: bool) -> None:
    """List the best schedules of every task."""
    rows: list[dict[str, Any]] = []
    tasks: set[str] = set()
    with opened(logs) as stores:
        for log, store in zip(logs, stores, strict=True):
            view = store.view()
            tell_problems(view.problems)
            tasks |= {summary.name for summary in view.summaries}
            rows += [{"log": without_password(log)} | row for row in best_rows(view, limit)]
    if workload is not None:
        rows = [row for row in rows if workload in row["workload"] or workload == row["key"]]
        if not rows and not any(workload in name for name in tasks):
            known = ", ".join(sorted(tasks)) or "none"
            raise UserError(f"--workload {workload!r} is no task of {', '.join(logs)}; tasks: {known}")
    if as_json:
        print_json({"best": rows})
        return
    if not rows:
        reason = "nothing that was measured is valid" if tasks else "nothing was measured"
        click.echo(f"No schedules: {reason} (see tirtune records stats {logs[0]})")
        return
    columns = [
        *(["log"] if len(logs) > 1 else []),
        "task",
        ">threads",
        ">untuned",
        ">best",
        ">speed-up",
        ">GFLOP/s",
        "checked",
        ">measured",
        "record",
    ]
    cells = [
        [
            *([row["log"]] if len(logs) > 1 else []),
            row["workload"],
            str(row["threads"]),
            seconds(row["baseline_seconds"]),
            seconds(row["seconds"]),
            times(row["baseline_seconds"] / row["seconds"] if row["baseline_seconds"] else None),
            rate(row["gflops"]),
            "yes" if row["is_checked"] else "no",
            str(row["measurements"]),
            row["plan_key"],
        ]
        for row in rows
    ]
    people(False).print(table(None, columns, cells))
