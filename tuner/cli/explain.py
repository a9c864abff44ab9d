"""``tirtune explain``: why the best schedules are the best, and what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from records.opening import opened
from tuner.cli.output import people, print_json
from tuner.cli.parameters import with_debug, with_json
from tuner.cli.records.stores import tell_problems
from tuner.errors import UserError
from tuner.units import counted, seconds, times

if TYPE_CHECKING:
    from tuner.report.explanation import Explanation

_CAUSES_SHOWN = 5


@click.command("explain", short_help="Say how the best schedules differ and what failed.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("--workload", metavar="TEXT", help="Only tasks whose name contains the text, or with this key.")
@with_json
@with_debug
def explain(logs: tuple[str, ...], workload: str | None, as_json: bool) -> None:
    """Say how the best schedule of every task looks, what came close to it, and what failed and why."""
    from tuner.report.explanation import explain as explain_store

    found: list[Explanation] = []
    with opened(logs) as stores:
        for store in stores:
            tell_problems(store.view().problems)
            found += explain_store(store, workload)
    if not found:
        wanted = "no measurements" if workload is None else f"no task {workload!r}"
        raise UserError(f"{', '.join(logs)}: {wanted} to explain (see tirtune records stats)")
    if as_json:
        print_json({"tasks": [_values(task) for task in found]})
        return
    out = people(False)
    for task in found:
        _print(out, task)


def _print(out: Console, task: Explanation) -> None:
    def say(text: str, style: str | None = None) -> None:
        out.print(text, style=style, soft_wrap=True)

    say(f"{task.name} ({counted(task.threads, 'thread')})", "bold")
    best = task.best
    if best is None:
        say(f"  nothing worked in {counted(task.trials, 'trial')}")
    else:
        faster = times(task.baseline_seconds / best.seconds) if task.baseline_seconds else "-"
        say(
            f"  untuned {seconds(task.baseline_seconds)}, best {seconds(best.seconds)} ({faster}), sketch "
            f"{task.sketch}, record {best.summary.plan_key}, "
            f"{'checked' if best.is_checked else 'not checked'}"
        )
        for step in task.steps:
            say(f"    {step}")
        if not task.steps:
            say("    the untuned program: nothing that was measured is faster")
    tried = [
        f"{name}: {counted(count, 'trial')}, best {seconds(time)}"
        for name, (count, time) in task.sketches.items()
    ]
    say(f"  sketches: {'; '.join(tried) or 'none'}")
    spent = ", ".join(f"{part} {seconds(value)}" for part, value in task.spent.items())
    say(f"  time of its trials: {spent}")
    if task.runner_up is not None and best is not None:
        ratio = times(task.runner_up.seconds / best.seconds)
        say(f"  runner-up: {seconds(task.runner_up.seconds)} ({ratio} of the best); it differs in")
        for line in task.differences:
            say(f"    {line}")
    failed = sum(task.failures.values())
    stages = ", ".join(f"{stage} {count}" for stage, count in sorted(task.failures.items()))
    say(f"  failed: {failed} of {counted(task.trials, 'trial')}" + (f" ({stages})" if stages else ""))
    for cause in task.causes[:_CAUSES_SHOWN]:
        say(f"    {cause.count} x {cause.stage}: {cause.message}")
    if len(task.causes) > _CAUSES_SHOWN:
        say(f"    and {len(task.causes) - _CAUSES_SHOWN} more reasons (tirtune explain --json)")
    say("")


def _values(task: Explanation) -> dict[str, Any]:
    best, second = task.best, task.runner_up
    return {
        "workload": task.name,
        "key": task.key,
        "threads": task.threads,
        "baseline_seconds": task.baseline_seconds,
        "best_seconds": best.seconds if best else None,
        "plan_key": best.summary.plan_key if best else None,
        "is_checked": best.is_checked if best else None,
        "sketch": task.sketch,
        "steps": list(task.steps),
        "sketches": {name: {"trials": n, "best_seconds": time} for name, (n, time) in task.sketches.items()},
        "runner_up": {
            "seconds": second.seconds,
            "plan_key": second.summary.plan_key,
            "differences": list(task.differences),
        }
        if second
        else None,
        "trials": task.trials,
        "seconds": task.spent,
        "failures": task.failures,
        "causes": [
            {"stage": cause.stage, "message": cause.message, "count": cause.count} for cause in task.causes
        ],
    }
