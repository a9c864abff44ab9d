"""``tirtune compile``: a model or an operator becomes a shared library, with the records that fit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from records.opening import is_same_place
from tuner.artifact import check_place
from tuner.cli.output import only_json, people, print_json
from tuner.cli.parameters import (
    shapes_of,
    with_debug,
    with_input_shapes,
    with_json,
    with_machine,
    with_records,
)
from tuner.errors import UserError
from tuner.units import counted, seconds


@click.command("compile", short_help="Compile a model with the best known schedules.")
@click.argument("model")
@with_records(required=False)
@click.option(
    "--output", "-o", metavar="FILE", help="Where the shared library goes; not written when absent."
)
@click.option(
    "--predict/--no-predict",
    default=True,
    show_default=True,
    help="Whether tasks without a record are scheduled by prediction, or left untuned.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 unless every task has a record.")
@with_machine
@with_input_shapes
@with_json
@with_debug
def compile(
    model: str,
    records: tuple[str, ...],
    output: str | None,
    predict: bool,
    strict: bool,
    target: str | None,
    threads: int | None,
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...],
    as_json: bool,
) -> int:
    """Compile MODEL with the best known schedules and say where every schedule comes from.

    MODEL is a model file (.onnx, .pt2), an operator such as gmm:1,512,512,512, or file.py:function.
    """
    shapes = shapes_of(input_shapes)
    began = time.perf_counter()
    with only_json(as_json):
        if output is not None:
            _check_output(output, (model, *records))
        from tuner import api
        from tuner.cli.coverage import SOURCES, counts_of, coverage_values, print_coverage

        compiled = api.compile(
            model, target, list(records), threads=threads, input_shapes=shapes, predict=predict
        )
        if output is not None:
            compiled.save(output)
        took = time.perf_counter() - began
        out = people(as_json)
        print_coverage(out, compiled.coverage)
        if output is not None:
            out.print(f"Wrote {output} in {seconds(took)}.", soft_wrap=True)
    counts = counts_of(compiled.coverage)
    if as_json:
        print_json(
            {
                "model": compiled.description.name,
                "output": output,
                "target": compiled.description.target,
                "threads": compiled.threads,
                "coverage": coverage_values(compiled.coverage),
                "counts": {source: counts[source] for source in SOURCES},
                "seconds": {"total": took},
            }
        )
    if strict and counts["tuned"] < len(compiled.coverage):
        missing = len(compiled.coverage) - counts["tuned"]
        click.echo(
            f"tirtune: --strict: {counted(missing, 'task')} of {model} without a record that applies",
            err=True,
        )
        return 1
    return 0


def _check_output(output: str, inputs: Sequence[str]) -> None:
    """Refuse what cannot be written, or would be lost, before minutes are spent on compiling."""
    check_place(Path(output))
    for name in inputs:
        if is_same_place(output, name):
            raise UserError(
                f"--output {output} is {name}, which is read: name another file, such as model.so"
            )
