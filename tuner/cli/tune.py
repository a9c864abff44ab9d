"""``tirtune tune``: search, measure, log, and end with a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from records.errors import without_password
from tuner.cli.interruption import Interruption
from tuner.cli.output import only_json, people, print_json
from tuner.cli.parameters import (
    COUNT,
    SEED,
    Duration,
    shapes_of,
    with_debug,
    with_input_shapes,
    with_json,
    with_machine,
    with_workloads,
)
from tuner.units import per_cent, seconds

if TYPE_CHECKING:
    from tuner.cli.progress import ProgressDisplay
    from tuner.events import RunProgress
    from tuner.options import TuneOptions
    from tuner.result import TuneResult


@click.command("tune", short_help="Tune models or operators on this machine.")
@with_workloads()
@with_machine
@click.option("--trials", type=COUNT, metavar="N", help="Measurements over all tasks; 64 a task when absent.")
@click.option("--time", "budget_seconds", type=Duration(), metavar="TIME", help="Wall time, such as 10m.")
@click.option("--log", metavar="LOG", help="Where measurements are kept: a file, a database file or a URL.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, metavar="S", help="Seed of every random choice."
)
@click.option(
    "--objective",
    default="latency",
    show_default=True,
    metavar="O",
    help="What is minimised: latency, requirement:20ms, geomean or early-stop.",
)
@click.option(
    "--batch", type=COUNT, default=16, show_default=True, metavar="N", help="Trials between two updates."
)
@click.option(
    "--strategy",
    default="evolution",
    show_default=True,
    metavar="S",
    help="evolution, or random to compare with.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on where the log stopped, or start anew.",
)
@click.option(
    "--measure",
    default="local",
    show_default=True,
    metavar="WHERE",
    help="Where candidates run: local, rpc://host:port/key for remote devices, or replay:LOG to search a "
    "log's run again.",
)
@click.option(
    "--cache",
    default="warm",
    show_default=True,
    metavar="STATE",
    help="Caches before each timed call: warm, or flushed.",
)
@click.option("--rules", default="", metavar="FILE.py:NAME", help="Your own sketch rules, tried before ours.")
@click.option(
    "--disable",
    multiple=True,
    metavar="NAME",
    help="Go without a part, to see what it is worth: draft, pretrained, crossover, descent, racing, "
    "packing. May be given several times.",
)
@click.option(
    "--accept/--no-accept",
    default=True,
    show_default=True,
    help="Whether whole models are compared with what they were before; needs --log.",
)
@click.option(
    "--build-only",
    is_flag=True,
    help="Build candidates and report, run none: the target's device need not be here.",
)
@click.option("--quiet", is_flag=True, help="No progress while it runs.")
@with_input_shapes
@with_json
@with_debug
def tune(
    workloads: tuple[str, ...],
    target: str | None,
    threads: int | None,
    trials: int | None,
    budget_seconds: float | None,
    log: str | None,
    seed: int,
    objective: str,
    batch: int,
    strategy: str,
    resume: bool,
    measure: str,
    cache: str,
    rules: str,
    disable: tuple[str, ...],
    accept: bool,
    build_only: bool,
    quiet: bool,
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...],
    as_json: bool,
) -> int:
    """Tune models or operators on this machine.

    WORKLOAD is a model file (.onnx, .pt2), an operator such as gmm:1,512,512,512, or file.py:function.
    Trials that the log already holds count as spent: the same command again goes on where it stopped.
    """
    from tuner.options import TuneOptions

    options = TuneOptions(
        trials=trials,
        seconds=budget_seconds,
        log=log,
        seed=seed,
        threads=threads,
        batch=batch,
        objective=objective,
        strategy=strategy,
        resume=resume,
        measure=measure,
        cache=cache,
        disable=disable,
        accept=accept,
        input_shapes=shapes_of(input_shapes),
        rules=rules,
    )
    if build_only:
        from tuner.cli.building import build_and_report

        return build_and_report(workloads, target, options, quiet, as_json)
    with only_json(as_json):
        result, display = _run(workloads, target, options, quiet)
        _show(result, display, as_json)
    if as_json:
        print_json(_values(result, display))
    return 130 if result.interrupted else 0


def _run(
    workloads: tuple[str, ...], target: str | None, options: TuneOptions, quiet: bool
) -> tuple[TuneResult, ProgressDisplay]:
    from tuner.measure.supervisor import start_ahead

    if options.measure == "local":
        start_ahead()
    from tuner import api
    from tuner.cli.progress import ProgressDisplay

    with Interruption() as interruption, ProgressDisplay(is_quiet=quiet) as display:

        def listen(progress: RunProgress) -> None:
            display(progress)
            interruption.check()

        try:
            return api.tune(list(workloads), target, options, listener=listen), display
        except (KeyboardInterrupt, Exception) as error:
            # The compiler may have turned the interrupt that reached it into an error of its own.
            if not interruption.is_requested or display.last is None:
                raise
            return _interrupted(display.last, options, error), display


def _interrupted(last: RunProgress, options: TuneOptions, error: BaseException) -> TuneResult:
    """Return what the last event said of a run that did not end by itself."""
    from tuner.result import TuneResult

    return TuneResult(
        tasks=last.tasks,
        plans={},
        log=None if options.log is None else str(options.log),
        seconds={
            "total": last.elapsed_seconds,
            "search": last.search_seconds,
            "build": last.build_seconds,
            "run": last.run_seconds,
        },
        target="",
        threads=options.threads or 0,
        interrupted=True,
        stopped="interrupted" if isinstance(error, KeyboardInterrupt) else f"interrupted ({error})",
    )


def _show(result: TuneResult, display: ProgressDisplay, as_json: bool) -> None:
    from tuner.cli.progress import final_table
    from tuner.cli.spending import spending_lines

    out = people(as_json)
    out.print(final_table(result.tasks, display.ledger, result.seconds))
    for line in spending_lines(result.seconds, result.stages, result.measured, result.suspects):
        out.print(line, soft_wrap=True)
    words = [f"Stopped: {result.stopped}.", f"Took {seconds(result.seconds['total'])}."]
    if result.gain_of_as_many_again is not None:
        words.append(
            f"As many trials again may save about {per_cent(result.gain_of_as_many_again)} of the time."
        )
    if result.log is not None:
        words.append(f"Log: {without_password(result.log)}")
    else:
        words.append("Nothing was kept: give --log to keep measurements.")
    out.print(" ".join(words), soft_wrap=True)
    for verdict in result.verdicts:
        out.print(verdict.words, soft_wrap=True)


def _values(result: TuneResult, display: ProgressDisplay) -> dict[str, Any]:
    from tuner.acceptance.verdict import verdict_values

    spent = display.ledger.seconds
    return {
        "tasks": [
            {
                "workload": task.name,
                "trials": task.trials,
                "failed": task.failed,
                "baseline_seconds": task.baseline_seconds,
                "baseline_is_lower_bound": task.baseline_is_lower_bound,
                "best_seconds": task.best_seconds,
                "best_gflops": task.best_gflops,
                "speedup": task.speedup,
                "calls": task.weight,
                "seconds": spent[index] if index < len(spent) else None,
            }
            for index, task in enumerate(result.tasks)
        ],
        "models": [verdict_values(verdict) for verdict in result.verdicts],
        "seconds": result.seconds,
        "stages": result.stages,
        "measured": result.measured,
        "gain_of_as_many_again": result.gain_of_as_many_again,
        "suspects": result.suspects,
        "log": None if result.log is None else without_password(result.log),
        "target": result.target,
        "threads": result.threads,
        "interrupted": result.interrupted,
        "stopped": result.stopped,
    }
