"""Train the model that is shipped: ``python -m scripts.train_pretrained DATA... --test FOLDER``.

DATA are ``.npz`` files, or folders of them as ``scripts/collect_dataset.py`` makes them, with:

- ``features`` float32 [N, F], columns of this program's feature version;
- ``draft_seconds`` float64 [N] and ``measured_seconds`` float64 [N] (``nan`` for a failure);
- ``groups`` int64 [N], 0 to G - 1: the task of each candidate;
- ``operators`` str [G], for example ``gmm``, and ``workloads`` str [G], for example ``gmm:1,512,512,512``;
- ``feature_version`` int and ``columns`` str [F];
- ``hardware`` str: JSON of one machine (``Hardware.to_dict()``).

What is shipped is judged on the tasks of ``--test`` (of DATA itself without it). The first measurements
of each of them, at most 64 and at most half, are the run's own; the figures are of all others. A task is
judged twice: by trees that have seen no shape of its operator, and by trees that have seen others of its
shapes, but not this one. Written: ``residual.npz`` and ``card.json``.
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

from cost_models.base import Dataset, Vector
from cost_models.boosters import BoosterSet, TreeOptions, train_boosters, write_sets
from cost_models.features.columns import COLUMNS, FEATURE_VERSION
from cost_models.metrics import summary
from cost_models.pretrained import CARD_FILE, KIND, WEIGHTS_DIRECTORY, WEIGHTS_FILE
from cost_models.xgb_ranker import XGBRanker, residual_target

TREES = TreeOptions(depth=6, rounds=120, eta=0.08, folds=1, columns=0.3, min_weight=8.0)
"""One booster, so that ranking thousands of candidates stays a matter of milliseconds (docs/features.md)."""
LEAST_IMPORTANCE = 0.05
FOLDS = 5
RUN_TRIALS = 64
FIGURES = ("pairwise_accuracy", "recall_at_30", "best_of_top_8", "spearman")


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

    def without(self, operators: set[str], workloads: set[str]) -> Dataset:
        """Return the rows that ran, but those of some operators or workloads."""
        kept = np.array(
            [
                o not in operators and w not in workloads
                for o, w in zip(self.operators, self.workloads, strict=True)
            ]
        )
        return self.data.take(kept[self.data.groups] & self.data.succeeded)


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
                raise ValueError(
                    f"{path}: not of feature version {FEATURE_VERSION}; describe it anew "
                    "(python -m scripts.describe_dataset) or collect it again"
                )
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


def importance(data: Dataset) -> Vector:
    """Return how much each row counts: [N] speed over that of the fastest of its task, at least a twentieth.

    What is compiled without a trial is the best predicted of thousands, so errors among the fast ones
    cost most; how slow the slow ones are does not matter.
    """
    parts = np.empty(len(data))
    for group in np.unique(data.groups):
        rows = data.groups == group
        parts[rows] = data.measured_seconds[rows].min() / data.measured_seconds[rows]
    return np.maximum(parts, LEAST_IMPORTANCE)


def grow(data: Dataset, seed: int, threads: int) -> BoosterSet:
    """Train the trees that are shipped on rows that ran."""
    return train_boosters(
        data.features,
        residual_target(data),
        TREES,
        seed,
        threads,
        held_out=[],
        weights=importance(data),
    )


def evaluate(
    collected: Collected, test: Collected, seed: int, threads: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Judge the draft, the pre-trained trees and the run's own on tasks that trees have not seen.

    Args:
        collected: What trees are trained on.
        test: Tasks to judge on; measurements in the order in which a run would make them.
        seed: Seed of the folds and of the training.
        threads: Threads.

    Returns:
        For each operator and for the ``mean`` over all tasks the figures of ``draft``; of
        ``new_operator`` and ``new_shape``, trees without any measurement of the task; of ``run``, the
        run's own measurements only; and of ``run_new_operator`` and ``run_new_shape``, both.
    """
    groups = np.unique(test.data.groups)
    operators = sorted({test.operators[group] for group in groups})
    workloads = sorted({test.workloads[group] for group in groups})
    shuffled = [str(w) for w in np.random.default_rng(seed).permutation(workloads)]
    # Where no shape is in both sets, one set of trees serves them all.
    shape_folds = FOLDS if set(workloads) & set(collected.workloads) else 1
    by_operator = _priors(collected, operators, [], FOLDS, seed, threads)
    by_shape = _priors(collected, [], shuffled, shape_folds, seed, threads)
    scores: dict[str, list[np.ndarray]] = {}
    judged: list[Dataset] = []
    for group in groups:
        data = test.data.take(test.data.groups == group)
        count = min(RUN_TRIALS, len(data) // 2)
        own, rest = data.take(np.arange(count)), data.take(np.arange(count, len(data)))
        judged.append(rest)
        for name, prior in (
            ("operator", by_operator.get(test.operators[group])),
            ("shape", by_shape.get(test.workloads[group])),
            ("", None),
        ):
            before = XGBRanker(seed, threads, prior)
            kind = f"new_{name}" if name else "draft"
            scores.setdefault(kind, []).append(before.predict(rest.features, rest.draft_seconds))
            after = XGBRanker(seed, threads, prior).fit(own)
            near = after.near(own.take(own.succeeded))
            kind = f"run_new_{name}" if name else "run"
            scores.setdefault(kind, []).append(
                after.predict_with_spread(rest.features, rest.draft_seconds, near)[0]
            )
    return _table(test, judged, scores)


def _priors(
    collected: Collected, operators: list[str], workloads: list[str], folds: int, seed: int, threads: int
) -> dict[str, BoosterSet]:
    """Train without each fold of operators or workloads; return the trees by what they have not seen."""
    found: dict[str, BoosterSet] = {}
    names = operators or workloads
    for fold in range(folds):
        out = set(names[fold::folds])
        rest = collected.without(out & set(operators), out & set(workloads))
        if out and len(rest):
            trees = grow(rest, seed, threads)
            found.update(dict.fromkeys(out, trees))
    return found


def _table(
    test: Collected, judged: list[Dataset], scores: dict[str, list[np.ndarray]]
) -> dict[str, dict[str, dict[str, float]]]:
    table: dict[str, dict[str, dict[str, float]]] = {}
    names = [test.operators[int(data.groups[0])] for data in judged]
    for operator in (*sorted(set(names)), "mean"):
        places = [place for place, name in enumerate(names) if operator in (name, "mean")]
        rows = Dataset.join([judged[place] for place in places])
        table[operator] = {
            kind: summary(np.concatenate([found[p] for p in places]), rows.measured_seconds, rows.groups)
            for kind, found in scores.items()
        }
    return table


def write(directory: Path, model: BoosterSet, card: dict[str, Any]) -> None:
    """Write weights and card."""
    directory.mkdir(parents=True, exist_ok=True)
    write_sets(directory / WEIGHTS_FILE, KIND, {"residual": model}, {"date": card["date"]})
    (directory / CARD_FILE).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def card_of(
    collected: Collected, test: Collected, metrics: dict[str, Any], date: str, excluded: Sequence[str]
) -> dict[str, Any]:
    """Describe what the weights know; what they were judged on is left out if it is not all there is."""
    judged = set(test.workloads) if test is not collected else set()
    rows = collected.data.take(
        np.array([w not in judged for w in collected.workloads])[collected.data.groups]
    )
    groups = np.unique(rows.groups)
    return {
        "feature_version": FEATURE_VERSION,
        "date": date,
        "hardware": list(collected.hardware),
        "operators": sorted({collected.operators[group] for group in groups}),
        "workloads": sorted({collected.workloads[group] for group in groups}),
        "excluded_operators": sorted(excluded),
        "rows": len(rows),
        "failures": int((~rows.succeeded).sum()),
        "trees": TREES.rounds,
        "target": "log2(draft_seconds / measured_seconds), centred within each task, limited; a candidate "
        "counts as its speed over that of the fastest of its task",
        "evaluation": f"tasks of test_workloads; the first {RUN_TRIALS} measurements (at most half) are the "
        "run's own, tested on the others; new_operator: trees have seen no shape of the operator; new_shape: "
        "trees have not seen this shape",
        "test_workloads": sorted({test.workloads[group] for group in np.unique(test.data.groups)}),
        "metrics": metrics,
    }


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--test", type=click.Path(exists=True, path_type=Path), help="Judge on these tasks.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=WEIGHTS_DIRECTORY)
@click.option("--exclude", multiple=True, help="Operator to leave out; may be given several times.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(
    data: tuple[Path, ...], test: Path | None, output: Path, exclude: tuple[str, ...], seed: int, threads: int
) -> None:
    """Train on DATA files, judge on tasks that were not trained on, and write weights and card."""
    try:
        collected = read(_files(data), exclude)
        judge = read(_files([test]), exclude) if test else collected
    except (ValueError, KeyError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    metrics = evaluate(collected, judge, seed, threads)
    for kind, figures in metrics["mean"].items():
        text = ", ".join(f"{name} {figures[name]:.3f}" for name in FIGURES)
        click.echo(f"{kind}: {text}", err=True)
    # No task that weights are judged on is among those that they were trained on.
    judged = set(judge.workloads) if test else set()
    model = grow(collected.without(set(), judged), seed, threads)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    write(output, model, card_of(collected, judge, metrics, today, exclude))
    click.echo(f"wrote {output / WEIGHTS_FILE} and {output / CARD_FILE}", err=True)


def _files(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.glob("*.npz")) if path.is_dir() else [path])]


if __name__ == "__main__":
    main()
