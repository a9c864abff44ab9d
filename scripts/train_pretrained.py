"""Train the model that is shipped: ``python -m scripts.train_pretrained DATA.npz...``.

A data file is an ``.npz`` with:

- ``features`` float32 [N, F], columns of this program's feature version;
- ``draft_seconds`` float64 [N] and ``measured_seconds`` float64 [N] (``nan`` for a failure);
- ``groups`` int64 [N], 0 to G - 1: the task of each candidate;
- ``operators`` str [G], for example ``gmm``, and ``workloads`` str [G], for example ``gmm:1,512,512,512``;
- ``feature_version`` int and ``columns`` str [F];
- ``hardware`` str: JSON of one machine (``Hardware.to_dict()``).

The model is judged by leaving out one operator at a time, both without any measurement of it and
with 64 measurements of each of its tasks; the shipped trees are stopped by held-out operators too.
Written: ``residual.npz`` and ``card.json``.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from cost_models.base import Dataset
from cost_models.boosters import BoosterSet, TreeOptions, train_boosters, write_sets
from cost_models.features.columns import COLUMNS, FEATURE_VERSION
from cost_models.metrics import summary
from cost_models.pretrained import CARD_FILE, KIND, WEIGHTS_DIRECTORY, WEIGHTS_FILE
from cost_models.xgb_ranker import XGBRanker, centred

OPTIONS = TreeOptions(depth=5, rounds=150, eta=0.1, folds=1, patience=20)
"""One booster, so that ranking thousands of candidates stays a matter of milliseconds."""
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


def fit(collected: Collected, without: set[str], seed: int, threads: int) -> BoosterSet:
    """Train on all operators but some, stopped by about a fifth of the operators that remain.

    Args:
        collected: Everything.
        without: Operators to leave out.
        seed: Chooses the operators that stop the training.
        threads: Threads.

    Returns:
        The trees.
    """
    use = collected.data.succeeded & ~collected.rows_of(without)
    data = collected.data.take(use)
    target = centred(np.log2(data.draft_seconds / data.measured_seconds), data.groups)
    names = np.array(sorted({collected.operators[group] for group in np.unique(data.groups)}))
    stop = set(np.random.default_rng(seed).permutation(names)[: max(1, len(names) // 5)].tolist())
    held_out = [collected.rows_of(stop)[use]] if len(names) > 1 else None
    return train_boosters(data.features, target, OPTIONS, seed, threads, held_out)


def evaluate(collected: Collected, seed: int, threads: int) -> dict[str, dict[str, dict[str, float]]]:
    """Judge the recipe on each operator after training on all others.

    Args:
        collected: Everything.
        seed: Chooses the 64 measurements of a run.
        threads: Threads.

    Returns:
        For each operator and for their ``mean``: figures of ``draft``, ``pretrained`` (no
        measurement), ``run`` (64 measurements of each task, no pre-training) and ``pretrained_run``.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    present = {collected.operators[group] for group in np.unique(collected.data.groups)}
    for operator in sorted(present) if len(present) > 1 else ():
        prior = fit(collected, {operator}, seed, threads)
        data = collected.data.take(collected.rows_of({operator}))
        order = np.random.default_rng(seed).permutation(len(data))
        rank = np.empty(len(data), np.intp)
        for group in np.unique(data.groups):
            rows = order[data.groups[order] == group]
            rank[rows] = np.arange(len(rows))
        trained, rest = data.take(rank < RUN_TRIALS), data.take(rank >= RUN_TRIALS)
        row = {
            "draft": summary(-np.log2(data.draft_seconds), data.measured_seconds, data.groups),
            "pretrained": _figures(XGBRanker(seed, threads, prior), data),
        }
        if len(rest) > 1:
            row["run"] = _figures(XGBRanker(seed, threads).fit(trained), rest)
            row["pretrained_run"] = _figures(XGBRanker(seed, threads, prior).fit(trained), rest)
        table[operator] = row
    if table:
        table["mean"] = {
            kind: {
                name: float(np.mean([row[kind][name] for row in table.values() if kind in row]))
                for name in ("pairwise_accuracy", "recall_at_30", "best_of_top_8", "spearman")
            }
            for kind in ("draft", "pretrained", "run", "pretrained_run")
            if any(kind in row for row in table.values())
        }
    return table


def _figures(model: XGBRanker, data: Dataset) -> dict[str, float]:
    return summary(model.predict(data.features, data.draft_seconds), data.measured_seconds, data.groups)


def write(directory: Path, model: BoosterSet, card: dict[str, Any]) -> None:
    """Write weights and card."""
    directory.mkdir(parents=True, exist_ok=True)
    write_sets(directory / WEIGHTS_FILE, KIND, {"residual": model}, {"date": card["date"]})
    (directory / CARD_FILE).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def card_of(
    collected: Collected, metrics: dict[str, Any], trees: int, date: str, excluded: Sequence[str]
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
        "target": "log2(draft_seconds / measured_seconds), centred within each task",
        "evaluation": "leave one operator out; run: 64 measurements of each task, tested on the others",
        "metrics": metrics,
    }


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=WEIGHTS_DIRECTORY)
@click.option("--exclude", multiple=True, help="Operator to leave out; may be given several times.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(data: tuple[Path, ...], output: Path, exclude: tuple[str, ...], seed: int, threads: int) -> None:
    """Train on DATA files, judge by leaving out operators, and write weights and card."""
    try:
        collected = read(data, exclude)
    except (ValueError, KeyError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    metrics = evaluate(collected, seed, threads)
    model = fit(collected, set(), seed, threads)
    trees = sum(booster.num_boosted_rounds() for booster in model.boosters)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    card = card_of(collected, metrics, trees, today, exclude)
    write(output, model, card)
    for kind, figures in metrics.get("mean", {}).items():
        text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        click.echo(f"{kind}: {text}", err=True)
    click.echo(f"wrote {output / WEIGHTS_FILE} and {output / CARD_FILE}", err=True)


if __name__ == "__main__":
    main()
