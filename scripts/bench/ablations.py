"""What each part of the tuner is worth: every one switched off alone, at equal trials.

``python -m scripts.bench.ablations --suite first --trials 64 --seeds 3 --json out/ablations.json``

The variants of one operator and seed are tuned one after the other, then their final kernels are measured
in turns: a slow hour of the machine meets all of them, and curves are scaled to what their final kernel
takes in those turns. A number above 1 says how many times slower the best kernel is without the part, after
so many trials (geometric mean over operators and seeds), with the 95% interval that the scatter between seeds
allows; bold where that leaves no doubt of the sign.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench import ours
from scripts.bench.comparison import say
from scripts.bench.effects import Effect, effect, scatter
from scripts.bench.interleave import ROUNDS, Entry, interleave
from scripts.bench.machine import describe
from scripts.bench.problem import Problem
from scripts.bench.problems import problems_of
from scripts.bench.table import ratio
from search_space.hardware import available_cores
from tuner.errors import UserError
from tuner.options import ABLATIONS

ALL_ON = "everything"
Run = Mapping[str, Any]


def variants(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what each variant goes without; the first one has everything.

    Raises:
        UserError: If a part is unknown.
    """
    for name in names:
        if name not in ABLATIONS:
            raise UserError(f"--parts {name}: unknown; use one of {', '.join(ABLATIONS)}")
    return {ALL_ON: (), **{name: (name,) for name in names}}


def checkpoints(trials: int) -> list[int]:
    """Return the numbers of trials at which variants are compared: the budget, its half, and so on to 8."""
    found = [trials]
    while found[-1] // 2 >= 8:
        found.append(found[-1] // 2)
    return found[::-1]


def best_after(run: Run, trials: int) -> float | None:
    """Return the best seconds that a run had after so many trials; None if nothing had worked.

    Where the final kernel was measured in turns, the curve is scaled to that.
    """
    found = [point["best_seconds"] for point in run["curve"] if point["trial"] <= trials]
    if not found or found[-1] is None:
        return None
    scale = ratio(run.get("final_seconds"), run["curve"][-1]["best_seconds"])
    return float(found[-1]) * (1.0 if scale is None else scale)


def table(runs: Sequence[Run], trials: Sequence[int]) -> list[dict[str, Any]]:
    """Compare every variant with the whole.

    Args:
        runs: One entry for each operator, seed and variant.
        trials: Checkpoints.

    Returns:
        Per variant, ``effects`` at the checkpoints (``ratio``, ``low``, ``high``; None where nothing can be
        compared), ``worst``: the operator with the largest ratio at the last one, and ``wall``: the effect on
        wall time.
    """
    names = list(dict.fromkeys(run["variant"] for run in runs))
    found: list[dict[str, Any]] = []
    at = [_cells(runs, names, lambda run, count=count: best_after(run, count)) for count in trials]
    wall = _cells(runs, names, lambda run: run["wall_seconds"])
    for name in names:
        effects = [_compare(cells, name) for cells in at]
        found.append(
            {
                "without": name,
                "effects": [_plain(each) for each in effects],
                "worst": _worst(at[-1], name),
                "wall": _plain(_compare(wall, name)),
            }
        )
    return found


Cells = dict[str, dict[str, list[float]]]
"""Seconds by variant and operator, one entry a seed."""


def _cells(runs: Sequence[Run], names: Sequence[str], value: Any) -> Cells:
    cells: Cells = {name: {} for name in names}
    for run in runs:
        seconds = value(run)
        if seconds is not None:
            cells[run["variant"]].setdefault(run["workload"], []).append(float(seconds))
    return cells


def _compare(cells: Cells, name: str) -> Effect | None:
    # Seeds scatter alike in all variants: together they say how much better than a pair would.
    variance, freedom = scatter([cell for by_operator in cells.values() for cell in by_operator.values()])
    return effect(cells[name], cells.get(ALL_ON, {}), variance, freedom)


def _worst(cells: Cells, name: str) -> dict[str, Any] | None:
    whole = cells.get(ALL_ON, {})
    each = []
    for workload, values in cells[name].items():
        found = effect({workload: values}, {workload: whole.get(workload, [])}, 0.0, 0)
        if found is not None:
            each.append((found.ratio, workload))
    return {"workload": max(each)[1], "ratio": max(each)[0]} if each else None


def _plain(found: Effect | None) -> dict[str, float | None] | None:
    return None if found is None else {"ratio": found.ratio, "low": found.low, "high": found.high}


def markdown(rows: Sequence[Mapping[str, Any]], trials: Sequence[int]) -> str:
    """Return the table for the documentation; what is told from noise is bold."""

    def cell(value: Mapping[str, float | None] | None) -> str:
        if value is None:
            return "-"
        low, high = value["low"], value["high"]
        if low is None or high is None:
            return f"{value['ratio']:.2f}"
        text = f"{value['ratio']:.2f} ({low:.2f} to {high:.2f})"
        return text if low <= 1.0 <= high else f"**{text}**"

    head = ["without", *(f"{count} trials" for count in trials), "most on", "wall time"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(trials) + " --- | ---: |"]
    for row in rows:
        if row["without"] == ALL_ON:
            continue
        worst = row["worst"]
        text = "-" if worst is None else f"{worst['workload']} {worst['ratio']:.2f}"
        cells = [row["without"], *map(cell, row["effects"]), text, cell(row["wall"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tune_variants(
    problem: Problem, seed: int, threads: int, parts: Mapping[str, tuple[str, ...]], a: argparse.Namespace
) -> list[dict[str, Any]]:
    """Tune every variant of one operator, then measure the final kernels in turns."""
    runs: list[dict[str, Any]] = []
    for name, disable in parts.items():
        say(f"{problem.text}, seed {seed}: without {', '.join(disable) or 'nothing'}")
        options = {"disable": list(disable)}
        try:
            run = ours.run(problem, a.trials, seed, threads, a.logs / name, options, a.reuse)
        except ours.RunFailed as error:
            say(str(error))
            continue
        runs.append({"workload": problem.text, "variant": name, **run.to_dict()})
    if a.rounds:
        say(f"{problem.text}, seed {seed}: {len(runs)} kernels in turns")
        entries = [Entry(row["variant"], "tirtune", {"log": row["log"]}) for row in runs]
        outcomes = interleave(problem, entries, threads, a.rounds)
        for row in runs:
            row["final_seconds"] = outcomes[row["variant"]].seconds
    return runs


def main() -> None:
    """Read the command line, tune, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="first", help="suites, operators or problems, separated by ;")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each; with one there are no intervals")
    parser.add_argument("--parts", default=",".join(ABLATIONS), help="which parts to switch off")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each final kernel; 0 for none")
    parser.add_argument("--logs", type=Path, default=Path("out/ablations"))
    parser.add_argument("--reuse", action="store_true", help="take finished runs of --logs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    threads = available_cores()
    try:
        problems = problems_of(arguments.suite.split(";"))
        parts = variants(arguments.parts.split(","))
    except UserError as error:
        parser.error(str(error))
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        for problem in problems:
            runs += tune_variants(problem, seed, threads, parts, arguments)
            if arguments.json is not None:
                _write(arguments.json, runs, arguments.trials, threads)
    counts = checkpoints(arguments.trials)
    print(markdown(table(runs, counts), counts))


def _write(path: Path, runs: list[dict[str, Any]], trials: int, threads: int) -> None:
    counts = checkpoints(trials)
    document = {
        "checkpoints": counts,
        "rows": table(runs, counts),
        "runs": runs,
        "machine": describe(threads),
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
