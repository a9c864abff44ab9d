"""``tirtune tune --build-only``: what was built, what failed and why, what the compiler reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.cli.output import console, only_json, people, print_json, table
from tuner.units import seconds

if TYPE_CHECKING:
    from rich.table import Table

    from tuner.build_only import BuildReport, BuiltTask
    from tuner.options import TuneOptions


def build_and_report(
    workloads: tuple[str, ...], target: str | None, options: TuneOptions, quiet: bool, as_json: bool
) -> int:
    """Build candidates and print what came of it.

    Args:
        workloads: What to explore.
        target: Target text.
        options: Budget, seed, strategy.
        quiet: Print nothing while it goes on.
        as_json: Print one JSON object for programs.

    Returns:
        The exit code: 1 if a task had no candidate that was built.
    """
    from tuner import api

    err = console(stderr=True)

    def listen(task: BuiltTask) -> None:
        if not quiet:
            err.print(f"{task.name}: {task.built} of {task.candidates} built in {seconds(task.seconds)}")

    with only_json(as_json):
        report = api.build(list(workloads), target, options, listener=listen)
        out = people(as_json)
        out.print(_table(report))
        for task in report.tasks:
            for reason in task.reasons:
                out.print(f"{task.name}: {reason}", soft_wrap=True)
        built, tried = sum(t.built for t in report.tasks), sum(t.candidates for t in report.tasks)
        out.print(f"Built {built} of {tried} candidates in {seconds(report.seconds)}; nothing was run.")
    if as_json:
        print_json(
            {
                "build_only": True,
                "tasks": [task.to_dict() for task in report.tasks],
                "seconds": {"total": report.seconds},
                "target": report.target,
            }
        )
    return 0 if report.is_good else 1


def _table(report: BuildReport) -> Table:
    columns = [
        "workload",
        ">candidates",
        ">built",
        "failed",
        ">registers",
        ">spilling",
        ">shared memory",
        ">time",
    ]
    rows = [
        [
            task.name,
            str(task.candidates),
            str(task.built),
            ", ".join(f"{stage} {count}" for stage, count in task.failed.items()) or None,
            _spread(task, "registers"),
            str(task.spilling) if task.facts else None,
            _spread(task, "shared_bytes"),
            seconds(task.seconds),
        ]
        for task in report.tasks
    ]
    return table("Built candidates (smallest / median / largest)", columns, rows)


def _spread(task: BuiltTask, fact: str) -> str | None:
    found = task.facts.get(fact)
    return None if found is None else f"{found.smallest:.0f} / {found.median:.0f} / {found.largest:.0f}"
