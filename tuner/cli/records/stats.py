"""``tirtune records stats``: counts, failures and times of logs."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from records.opening import opened
from records.reports import stats as stats_of
from tuner.cli.output import people, print_json, table
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import tell_problems
from tuner.units import counted, seconds, times


@click.command("stats", short_help="Count records, failures and times.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@with_json
@with_debug
def stats(logs: tuple[str, ...], as_json: bool) -> None:
    """Count records, failures and times, in all and per task."""
    with opened(logs) as stores:
        found = []
        for store in stores:
            view = store.view()
            tell_problems(view.problems)
            found.append(stats_of(view))
    if as_json:
        print_json({"logs": found})
        return
    out = people(False)
    for values in found:
        _print(out, values)


def _print(out: Console, values: dict[str, Any]) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(values["kinds"].items()))
    spent = ", ".join(f"{part} {seconds(value)}" for part, value in values["seconds"].items())
    words = [
        f"{values['where']}: {counted(values['records'], 'record')}" + (f" ({kinds})" if kinds else ""),
        counted(values["sessions"], "session"),
        counted(values["programs"], "program"),
        counted(len(values["problems"]), "problem"),
    ]
    out.print(", ".join(words + ([f"spent {spent}"] if values["records"] else [])), soft_wrap=True)
    if not values["tasks"]:
        return
    columns = [
        "task",
        ">threads",
        ">trials",
        ">failed",
        "failures by stage",
        ">untuned",
        ">best",
        ">speed-up",
    ]
    columns += [">search", ">build", ">measure"]
    rows = []
    for task in values["tasks"]:
        untuned, best = task["baseline_seconds"], task["best_seconds"]
        failures = ", ".join(f"{stage} {count}" for stage, count in sorted(task["failures"].items()))
        rows.append(
            [
                task["workload"],
                str(task["threads"]),
                str(task["trials"]),
                str(task["failed"]),
                failures,
                seconds(untuned),
                seconds(best),
                times(untuned / best if untuned and best else None),
                *(seconds(task["seconds"][part]) for part in ("search", "build", "run")),
            ]
        )
    out.print(table(None, columns, rows))
