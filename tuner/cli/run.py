"""``tirtune run``: run a compiled model on given inputs, or time it."""

from __future__ import annotations

from typing import Any

import click

from tuner.cli.output import only_json, people, print_json, table
from tuner.cli.parameters import (
    COUNT,
    SEED,
    with_debug,
    with_json,
)
from tuner.errors import UserError
from tuner.units import seconds


@click.command("run", short_help="Run or time a compiled model.")
@click.argument("model", metavar="MODEL.so")
@click.option("--inputs", metavar="FILE", help="An .npz with an array for every input.")
@click.option("--output", "-o", metavar="FILE", help="Where the outputs go, as .npz.")
@click.option("--benchmark", is_flag=True, help="Time whole runs; on random inputs when none are given.")
@click.option("--repeats", type=COUNT, default=20, show_default=True, metavar="N", help="Timed runs.")
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="S", help="Seed of random inputs.")
@with_json
@with_debug
def run(
    model: str,
    inputs: str | None,
    output: str | None,
    benchmark: bool,
    repeats: int,
    seed: int,
    as_json: bool,
) -> None:
    """Run MODEL.so, which tirtune compile wrote."""
    if inputs is None and not benchmark:
        raise UserError("nothing to run on: give --inputs FILE.npz, or --benchmark for random inputs")
    if output is not None and inputs is None:
        raise UserError("--output needs --inputs: outputs of random inputs mean nothing")
    with only_json(as_json):
        from tuner.cli.arrays import read_arrays, write_arrays
        from tuner.compiled_model import load

        loaded = load(model)
        values: dict[str, Any] = {"model": loaded.description.name, "file": model, "threads": loaded.threads}
        arrays = read_arrays(inputs, loaded.inputs) if inputs is not None else []
        out = people(as_json)
        if inputs is not None:
            results = loaded.run(*arrays)
            specs = zip(loaded.outputs, results, strict=True)
            values["outputs"] = [
                {"name": s.name, "shape": list(r.shape), "dtype": str(r.dtype)} for s, r in specs
            ]
            if output is not None:
                write_arrays(output, loaded.outputs, results)
                values["output"] = output
            rows = [[o["name"], "x".join(map(str, o["shape"])), o["dtype"]] for o in values["outputs"]]
            out.print(table(None, ["output", "shape", "type"], rows))
        if benchmark:
            found = loaded.benchmark(repeats, *arrays, seed=seed)
            values["seconds"] = {
                "median": found.median,
                "minimum": found.minimum,
                "low": found.low,
                "high": found.high,
                "runs": list(found.runs_seconds),
            }
            out.print(
                f"{loaded.description.name}: median {seconds(found.median)} "
                f"(95%: {seconds(found.low)} to {seconds(found.high)}), minimum {seconds(found.minimum)}, "
                f"{repeats} runs, {loaded.threads} threads",
                soft_wrap=True,
            )
    if as_json:
        print_json(values)
