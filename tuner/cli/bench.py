"""``tirtune bench``: tuned kernels and models against other frameworks, measured in turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tuner.cli.output import only_json, people, print_json, table
from tuner.cli.parameters import (
    COUNT,
    SEED,
    THREADS,
    shapes_of,
    with_debug,
    with_input_shapes,
    with_json,
    with_workloads,
)
from tuner.errors import UserError
from tuner.units import seconds, times


@click.command("bench", short_help="Compare tuned kernels with other frameworks.")
@with_workloads()
@click.option("--records", metavar="LOG", help="Our measurements; without them and --trials, predictions.")
@click.option(
    "--against",
    default="onnxruntime",
    show_default=True,
    metavar="NAMES",
    help="By commas: metaschedule, torch, onnxruntime, openvino.",
)
@click.option("--trials", type=COUNT, metavar="N", help="Tune operators first, with so many trials.")
@click.option("--threads", type=THREADS, metavar="N", help="Threads of every side; every CPU when absent.")
@click.option("--rounds", type=COUNT, default=20, show_default=True, metavar="N", help="Turns of each side.")
@click.option(
    "--folder",
    default="out",
    show_default=True,
    metavar="FOLDER",
    help="Where tuning logs and MetaSchedule's databases are kept and found again.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="S", help="Seed of our tuning.")
@with_input_shapes
@with_json
@with_debug
def bench(
    workloads: tuple[str, ...],
    records: str | None,
    against: str,
    trials: int | None,
    threads: int | None,
    rounds: int,
    folder: str,
    seed: int,
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...],
    as_json: bool,
) -> None:
    """Compare WORKLOAD... with other frameworks on this machine, measured in turns.

    Operators run on every side in a process of its own, one process at a time.
    Model files run against onnxruntime. Close other programs first.
    """
    shapes = shapes_of(input_shapes)
    with only_json(as_json):
        from records.environment import available_cores
        from tuner.bench.models import bench_model
        from tuner.bench.operators import BenchOptions, bench_operator, check_sides, describe_machine
        from tuner.frontends.files import require_file
        from tuner.frontends.load import FORMS
        from tuner.workloads import is_named, named_workload

        operators = [word for word in workloads if is_named(word)]
        for word in workloads:  # a mistake in the last must not cost the time of the others
            if word in operators:
                named_workload(word)
            elif ".py:" not in word:
                require_file(Path(word), f" (a workload is {FORMS})")
        if shapes and len(operators) == len(workloads):
            raise UserError("--input-shape: operators have fixed shapes; only ONNX models leave shapes open")
        sides = tuple(dict.fromkeys(name.strip() for name in against.split(",") if name.strip()))
        check_sides(sides)
        options = BenchOptions(
            sides, records, trials, threads or available_cores(), rounds, Path(folder).resolve(), seed
        )
        results: list[dict[str, Any]] = []
        for workload in workloads:
            click.echo(f"{workload} ...", err=True)
            if workload in operators:
                results.append(bench_operator(workload, options))
            else:
                results.append(bench_model(workload, shapes, options))
        machine = describe_machine(options.threads)
    if as_json:
        print_json({"results": results, "machine": machine})
        return
    columns = ["workload", ">tirtune"]
    for side in sides:
        columns += [f">{side}", ">over ours"]
    out = people(False)
    out.print(table(None, columns, [_row(result, sides) for result in results]))
    for result in results:
        for side, reason in result["reasons"].items():
            out.print(f"{result['workload']}: no time of {side}: {reason}", soft_wrap=True)


def _row(result: dict[str, Any], sides: tuple[str, ...]) -> list[str]:
    ours = result["seconds"]["tirtune"]
    cells = [result["workload"], seconds(ours)]
    for side in sides:
        theirs = result["seconds"][side]
        cells += [seconds(theirs), times(theirs / ours if theirs and ours else None)]
    return cells
