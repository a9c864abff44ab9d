"""``tirtune plan``: what a log covers of a model, and what tuning the rest would take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from tuner.cli.output import only_json, people, print_json, table
from tuner.cli.parameters import (
    shapes_of,
    with_debug,
    with_input_shapes,
    with_json,
    with_machine,
    with_records,
    with_workloads,
)
from tuner.units import counted, per_cent, seconds

if TYPE_CHECKING:
    from tuner.forecast import Forecast

_STYLES = {"tuned": "green", "predicted": "yellow", "default": "red"}


@click.command("plan", short_help="Say what a log covers of a model, and what not.")
@with_workloads()
@with_records(required=False)
@with_machine
@with_input_shapes
@with_json
@with_debug
def plan(
    workloads: tuple[str, ...],
    records: tuple[str, ...],
    target: str | None,
    threads: int | None,
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...],
    as_json: bool,
) -> None:
    """List the tasks of WORKLOAD..., the schedule that each would get now, and its share of the time.

    Measures nothing. Times of tasks without a record are guesses of the cost model.
    """
    shapes = shapes_of(input_shapes)
    with only_json(as_json):
        from tuner import api
        from tuner.choice import open_records
        from tuner.forecast import forecast, seconds_per_trial
        from tuner.options import TRIALS_PER_TASK

        resolved = api.target_of(target, threads)
        with open_records(records) as stores:
            tasks = api.tasks_of_all(list(workloads), shapes)
            found = forecast(tasks, resolved, stores)
            per_trial, origin = seconds_per_trial(stores)
    counts = {source: sum(f.source == source for f in found) for source in _STYLES}
    trials = TRIALS_PER_TASK * sum(1 for f in found if f.source != "tuned" and f.sketches)
    if as_json:
        rest = {"trials_to_tune_the_rest": trials, "seconds_to_tune_the_rest": trials * per_trial}
        print_json({"tasks": [_values(f) for f in found], "counts": counts, **rest})
        return
    out = people(False)
    columns = ["task", ">calls", "schedule", ">time", ">share", "reason"]
    out.print(table(None, columns, [_cells(f) for f in found]))
    parts = ", ".join(f"{count} {source}" for source, count in counts.items())
    out.print(f"{parts} of {counted(len(found), 'task')}")
    if trials:
        out.print(
            f"Tuning the rest with {TRIALS_PER_TASK} trials a task: {trials} trials, "
            f"about {seconds(trials * per_trial)} ({origin})",
            soft_wrap=True,
        )


def _values(forecast: Forecast) -> dict[str, Any]:
    return {
        "workload": forecast.task.name,
        "key": forecast.task.key,
        "calls": forecast.task.weight,
        "source": forecast.source,
        "reason": forecast.reason,
        "seconds": forecast.seconds,
        "guessed_seconds": forecast.guessed_seconds,
        "share": forecast.share,
        "sketches": list(forecast.sketches),
        "flops": forecast.task.workload.flops,
    }


def _cells(forecast: Forecast) -> list[str | Text]:
    known = forecast.seconds is not None
    return [
        forecast.task.name,
        str(forecast.task.weight),
        Text(forecast.source, style=_STYLES[forecast.source]),
        seconds(forecast.seconds) if known else f"~ {seconds(forecast.guessed_seconds)}",
        per_cent(forecast.share),
        forecast.reason,
    ]
