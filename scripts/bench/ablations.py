"""What each part of the tuner is worth: every one switched off alone, at equal trials.

``python -m scripts.bench.ablations --suite first --trials 64 --seeds 1 --json out/ablations.json``

The variants of one operator are tuned one after the other, so that a slow hour of the machine meets all of
them. Times are as the runs recorded them. A number above 1 says how many times slower the best kernel is
without the part, after so many trials (geometric mean over operators and seeds).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from scripts.bench import ours
from scripts.bench.comparison import say
from scripts.bench.machine import describe
from scripts.bench.problems import problems_of
from search_space.hardware import available_cores
from tuner.errors import UserError
from tuner.options import ABLATIONS

ALL_ON = "everything"


def variants(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what each variant goes without; the first one has everything."""
    return {ALL_ON: (), **{name: (name,) for name in names}}


def checkpoints(trials: int) -> list[int]:
    """Return the numbers of trials at which variants are compared: the budget, its half, and so on to 8."""
    found = [trials]
    while found[-1] // 2 >= 8:
        found.append(found[-1] // 2)
    return found[::-1]


def best_after(run: Mapping[str, Any], trials: int) -> float | None:
    """Return the best seconds that a run had after so many trials; None if nothing had worked."""
    found = [point["best_seconds"] for point in run["curve"] if point["trial"] <= trials]
    return None if not found or found[-1] is None else float(found[-1])


def table(runs: Sequence[Mapping[str, Any]], trials: Sequence[int]) -> list[dict[str, Any]]:
    """Compare every variant with the whole.

    Args:
        runs: One entry for each operator, seed and variant.
        trials: Checkpoints.

    Returns:
        Per variant, ``ratios`` at the checkpoints (None where nothing can be compared), the worst
        operator of the last one, and the mean wall seconds of a run.
    """
    whole = {(r["workload"], r["seed"]): r for r in runs if r["variant"] == ALL_ON}
    found = []
    for name in dict.fromkeys(r["variant"] for r in runs):
        mine = [r for r in runs if r["variant"] == name]
        ratios: list[float | None] = []
        worst: tuple[float, str] | None = None
        for count in trials:
            pairs = [
                (r["workload"], best_after(r, count), best_after(whole[r["workload"], r["seed"]], count))
                for r in mine
                if (r["workload"], r["seed"]) in whole
            ]
            each = [(without / with_it, text) for text, without, with_it in pairs if without and with_it]
            ratios.append(float(np.exp(np.mean(np.log([e for e, _ in each])))) if each else None)
            worst = max(each, default=None)
        found.append(
            {
                "without": name,
                "ratios": ratios,
                "worst": None if worst is None else {"workload": worst[1], "ratio": worst[0]},
                "wall_seconds": float(np.mean([r["wall_seconds"] for r in mine])),
            }
        )
    return found


def markdown(rows: Sequence[Mapping[str, Any]], trials: Sequence[int]) -> str:
    """Return the table for the documentation."""

    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    head = ["without", *(f"{count} trials" for count in trials), "worst operator", "a run, s"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(trials) + " --- | ---: |"]
    for row in rows:
        worst = row["worst"]
        text = "-" if worst is None else f"{worst['workload']} {worst['ratio']:.2f}"
        cells = [row["without"], *(cell(r) for r in row["ratios"]), text, f"{row['wall_seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, tune, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="first", help="suites, operators or problems, separated by ;")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--parts", default=",".join(ABLATIONS), help="which parts to switch off")
    parser.add_argument("--logs", type=Path, default=Path("out/ablations"))
    parser.add_argument("--reuse", action="store_true", help="take finished runs of --logs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    threads = available_cores()
    try:
        problems = problems_of(arguments.suite.split(";"))
    except UserError as error:
        parser.error(str(error))
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        for problem in problems:
            for name, disable in variants(arguments.parts.split(",")).items():
                say(f"{problem.text}, seed {seed}: without {', '.join(disable) or 'nothing'}")
                run = ours.run(
                    problem,
                    arguments.trials,
                    seed,
                    threads,
                    arguments.logs / name,
                    {"disable": list(disable)},
                    arguments.reuse,
                )
                runs.append({"workload": problem.text, "variant": name, **run.to_dict()})
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
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
