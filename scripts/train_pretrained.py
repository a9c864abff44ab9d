"""Train the model that is shipped: ``python -m scripts.train_pretrained DATA...``.

DATA are ``.npz`` files, or folders of them as ``scripts/collect_dataset.py`` makes them, with:

- ``features`` float32 [N, F], columns of this program's feature version;
- ``draft_seconds`` float64 [N] and ``measured_seconds`` float64 [N] (``nan`` for a failure);
- ``groups`` int64 [N], 0 to G - 1: the task of each candidate;
- ``operators`` str [G], for example ``gmm``, and ``workloads`` str [G], for example ``gmm:1,512,512,512``;
- ``feature_version`` int and ``columns`` str [F];
- ``hardware`` str: JSON of one machine (``Hardware.to_dict()``).

Several recipes are judged by leaving out one operator at a time, both without any measurement of it
and with half of its rows (at most 64 a task) as a run's own; the one with the best pairwise accuracy
without measurements is trained on everything and shipped. How many trees a recipe gets is decided by
early stopping on held-out operators. Written: ``residual.npz`` and ``card.json``.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import xgboost

from cost_models.base import Dataset
from cost_models.boosters import BoosterSet, TreeOptions, write_sets
from cost_models.features.columns import COLUMNS, FEATURE_VERSION
from cost_models.metrics import summary
from cost_models.pretrained import CARD_FILE, KIND, WEIGHTS_DIRECTORY, WEIGHTS_FILE
from cost_models.xgb_ranker import XGBRanker, centred


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the residual is learned.

    Attributes:
        trees: Shape of the trees.
        portable: Whether columns with absolute sizes are hidden, so that only ratios to the machine and
            shapes of the inner loops can be learned: sizes tell operators apart, and those are left out.
        speed_weight: A row weighs ``(fastest of its task / its time) ** speed_weight``: what a search
            must tell apart is fast.
    """

    trees: TreeOptions
    portable: bool = False
    speed_weight: float = 0.0


_SHALLOW = TreeOptions(depth=4, rounds=400, eta=0.05, columns=0.4, patience=30, min_weight=4.0)
_DEEP = TreeOptions(depth=7, rounds=400, eta=0.05, columns=0.4, patience=30, min_weight=8.0)
RECIPES = {
    "squares": Recipe(_SHALLOW),
    "deep": Recipe(_DEEP),
    "portable": Recipe(_SHALLOW, portable=True),
    "deep portable": Recipe(_DEEP, portable=True),
    "weighted portable": Recipe(_DEEP, portable=True, speed_weight=0.5),
    "robust portable": Recipe(replace(_DEEP, loss="reg:pseudohubererror"), portable=True),
}
"""One booster each, so that ranking thousands of candidates stays a matter of milliseconds."""
ABSOLUTE_UNITS = ("flop", "bytes", "ns", "tasks")
ABSOLUTE_NAMES = (
    *("main_iterations", "main_executions", "main_spatial", "main_reduction", "main_transcendentals"),
    *("code_branches", "l1_sweeps", "l2_sweeps", "l3_sweeps", "l1_iterations", "l2_iterations"),
    *("l3_iterations", "aux_executions"),
)
FOLDS = 4
RUN_TRIALS = 64


@dataclass(frozen=True, slots=True)
class Collected:
    """Several data files as one.

    Attributes:
        data: All rows; groups are numbered over all files.
        operators: Operator of each group.
        workloads: Workload of each group.
        hardware: Distinct machines.
    """

    data: Dataset
    operators: tuple[str, ...]
    workloads: tuple[str, ...]
    hardware: tuple[dict[str, Any], ...]

    def rows_of(self, operators: set[str]) -> np.ndarray:
        """Return the mask [N] of rows of some operators."""
        chosen = np.array([name in operators for name in self.operators])
        return chosen[self.data.groups]


def read(paths: Sequence[Path], exclude: Sequence[str] = ()) -> Collected:
    """Read data files.

    Args:
        paths: Files as described above.
        exclude: Operators to leave out, such as those that benchmarks use.

    Returns:
        Their rows.

    Raises:
        ValueError: If a file is of another feature version or nothing is left.
    """
    parts: list[Dataset] = []
    operators: list[str] = []
    workloads: list[str] = []
    hardware: list[dict[str, Any]] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as archive:
            names = [column.name for column in COLUMNS]
            if int(archive["feature_version"]) != FEATURE_VERSION or archive["columns"].tolist() != names:
                raise ValueError(f"{path}: not of feature version {FEATURE_VERSION}; collect it again")
            groups = archive["groups"].astype(np.int64)
            keep = ~np.isin(archive["operators"], list(exclude))[groups]
            part = Dataset(
                archive["features"].astype(np.float32),
                archive["draft_seconds"].astype(float),
                archive["measured_seconds"].astype(float),
                groups + len(operators),
            )
            parts.append(part.take(keep))
            operators += archive["operators"].tolist()
            workloads += archive["workloads"].tolist()
            machine = json.loads(str(archive["hardware"]))
            if machine not in hardware:
                hardware.append(machine)
    data = Dataset.join(parts) if parts else None
    if data is None or not data.succeeded.any():
        raise ValueError(f"no measurements left in {', '.join(map(str, paths))}")
    return Collected(data, tuple(operators), tuple(workloads), tuple(hardware))


def portable_columns() -> np.ndarray:
    """Return the mask [F] of columns that are not absolute sizes."""
    return np.array(
        [column.unit not in ABSOLUTE_UNITS and column.name not in ABSOLUTE_NAMES for column in COLUMNS]
    )


@dataclass(frozen=True, slots=True)
class Training:
    """What a recipe is trained on.

    Attributes:
        data: Rows that ran.
        matrix: Their features; hidden columns are never drawn.
        target: [N] ``log2(draft / measured)``, centred within each task.
    """

    data: Dataset
    matrix: xgboost.DMatrix
    target: np.ndarray

    def part(self, rows: np.ndarray) -> xgboost.DMatrix:
        """Return some rows."""
        return self.matrix.slice(np.flatnonzero(rows), allow_groups=True)


def training_of(collected: Collected, recipe: Recipe, threads: int) -> Training:
    """Prepare targets and weights; every task weighs the same."""
    data = collected.data.take(collected.data.succeeded)
    target = centred(np.log2(data.draft_seconds / data.measured_seconds), data.groups)
    weights = np.ones(len(data))
    for group in np.unique(data.groups):
        rows = data.groups == group
        weights[rows] = (
            data.measured_seconds[rows].min() / data.measured_seconds[rows]
        ) ** recipe.speed_weight
        weights[rows] /= weights[rows].mean()
    matrix = xgboost.DMatrix(data.features, label=target, weight=weights, nthread=threads)
    matrix.set_info(feature_weights=portable_columns() if recipe.portable else np.ones(len(COLUMNS)))
    return Training(data, matrix, target)


def grow(
    training: Training, rows: np.ndarray, recipe: Recipe, trees: int, seed: int, threads: int
) -> BoosterSet:
    """Train on some rows for a fixed number of trees."""
    return BoosterSet(
        [xgboost.train(recipe.trees.parameters(seed, threads), training.part(rows), trees)], threads
    )


def best_trees(collected: Collected, training: Training, recipe: Recipe, seed: int, threads: int) -> int:
    """Return how many trees do best on operators that were not trained on (mean over folds)."""
    operators = np.array(collected.operators)[training.data.groups]
    names = np.random.default_rng(seed).permutation(np.unique(operators))
    if len(names) < 2:
        return recipe.trees.rounds // 4
    found: list[int] = []
    for fold in range(min(FOLDS, len(names))):
        out = np.isin(operators, names[fold::FOLDS])
        booster = xgboost.train(
            recipe.trees.parameters(seed, threads),
            training.part(~out),
            recipe.trees.rounds,
            evals=[(training.part(out), "held_out")],
            early_stopping_rounds=recipe.trees.patience,
            verbose_eval=False,
        )
        found.append(booster.best_iteration + 1)
    return max(1, round(float(np.mean(found))))


def evaluate(
    collected: Collected, recipe: Recipe, seed: int, threads: int
) -> tuple[int, dict[str, dict[str, dict[str, float]]]]:
    """Judge a recipe on each operator after training on all others.

    Args:
        collected: Everything.
        recipe: How to train.
        seed: Chooses the measurements of a run.
        threads: Threads.

    Returns:
        The number of trees, and for each operator and for their ``mean`` the figures of ``draft``,
        ``pretrained`` (no measurement), ``run`` (half of the rows of each task, at most 64, as the run's
        own; tested on the others; no pre-training) and ``pretrained_run`` (both).
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    training = training_of(collected, recipe, threads)
    trees = best_trees(collected, training, recipe, seed, threads)
    present = {collected.operators[group] for group in np.unique(collected.data.groups)}
    for operator in sorted(present) if len(present) > 1 else ():
        others = ~collected.rows_of({operator})[collected.data.succeeded]
        prior = grow(training, others, recipe, trees, seed, threads)
        data = collected.data.take(collected.rows_of({operator}))
        order = np.random.default_rng(seed).permutation(len(data))
        own = np.zeros(len(data), bool)
        for group in np.unique(data.groups):
            rows = order[data.groups[order] == group]
            own[rows[: min(RUN_TRIALS, len(rows) // 2)]] = True
        trained, rest = data.take(own), data.take(~own)
        table[operator] = {
            "draft": summary(-np.log2(data.draft_seconds), data.measured_seconds, data.groups),
            "pretrained": _figures(XGBRanker(seed, threads, prior), data),
            "run": _figures(XGBRanker(seed, threads).fit(trained), rest),
            "pretrained_run": _figures(XGBRanker(seed, threads, prior).fit(trained), rest),
        }
    if table:
        table["mean"] = {
            kind: {
                name: float(np.mean([row[kind][name] for row in table.values()]))
                for name in ("pairwise_accuracy", "recall_at_30", "best_of_top_8", "spearman")
            }
            for kind in ("draft", "pretrained", "run", "pretrained_run")
        }
    return trees, table


def _figures(model: XGBRanker, data: Dataset) -> dict[str, float]:
    return summary(model.predict(data.features, data.draft_seconds), data.measured_seconds, data.groups)


def write(directory: Path, model: BoosterSet, card: dict[str, Any]) -> None:
    """Write weights and card."""
    directory.mkdir(parents=True, exist_ok=True)
    write_sets(directory / WEIGHTS_FILE, KIND, {"residual": model}, {"date": card["date"]})
    (directory / CARD_FILE).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def _show(name: str, table: dict[str, dict[str, dict[str, float]]]) -> None:
    for kind, figures in table.get("mean", {}).items():
        text = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items())
        click.echo(f"{name}, {kind}: {text}", err=True)


def card_of(
    collected: Collected,
    metrics: dict[str, Any],
    recipes: dict[str, float],
    trees: int,
    date: str,
    excluded: Sequence[str],
) -> dict[str, Any]:
    """Describe what the weights know."""
    groups = np.unique(collected.data.groups)
    return {
        "feature_version": FEATURE_VERSION,
        "date": date,
        "hardware": list(collected.hardware),
        "operators": sorted({collected.operators[group] for group in groups}),
        "workloads": sorted({collected.workloads[group] for group in groups}),
        "excluded_operators": sorted(excluded),
        "rows": len(collected.data),
        "failures": int((~collected.data.succeeded).sum()),
        "trees": trees,
        "recipes": recipes,
        "target": "log2(draft_seconds / measured_seconds), centred within each task",
        "evaluation": "leave one operator out; run: half of the rows of each task (at most 64) are its own "
        "measurements, tested on the others; recipes: pairwise accuracy without any",
        "metrics": metrics,
    }


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=WEIGHTS_DIRECTORY)
@click.option("--exclude", multiple=True, help="Operator to leave out; may be given several times.")
@click.option("--recipe", multiple=True, type=click.Choice(list(RECIPES)), help="Judge only these recipes.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(
    data: tuple[Path, ...],
    output: Path,
    exclude: tuple[str, ...],
    recipe: tuple[str, ...],
    seed: int,
    threads: int,
) -> None:
    """Train on DATA files, judge by leaving out operators, and write weights and card."""
    try:
        files = [file for path in data for file in (sorted(path.glob("*.npz")) if path.is_dir() else [path])]
        collected = read(files, exclude)
    except (ValueError, KeyError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    figures = {}
    for name in recipe or RECIPES:
        figures[name] = evaluate(collected, RECIPES[name], seed, threads)
        _show(name, figures[name][1])
    recipes = {
        name: table["mean"]["pretrained"]["pairwise_accuracy"] if table else 0.0
        for name, (_, table) in figures.items()
    }
    chosen = max(recipes, key=lambda name: recipes[name])
    trees, metrics = figures[chosen]
    training = training_of(collected, RECIPES[chosen], threads)
    model = grow(training, np.ones(len(training.data), bool), RECIPES[chosen], trees, seed, threads)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    write(output, model, card_of(collected, metrics, recipes, trees, today, exclude))
    click.echo(f"best recipe: {chosen}, {trees} trees", err=True)
    click.echo(f"wrote {output / WEIGHTS_FILE} and {output / CARD_FILE}", err=True)


if __name__ == "__main__":
    main()
