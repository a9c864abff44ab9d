"""A set of gradient-boosted trees whose mean is the prediction and whose spread is the doubt."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from cost_models.base import Matrix, ModelError, Vector
from cost_models.features.columns import COLUMNS, FEATURE_VERSION

_BINS = 64
"""Histogram bins; more gain nothing on data sets of thousands of rows and cost time."""


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """How trees are grown; the defaults are those that did best on small data sets (docs/features.md).

    Attributes:
        depth: Largest depth of a tree.
        rounds: Most trees of one booster.
        eta: Learning rate.
        folds: Boosters, each stopped early on its own held-out part.
        patience: Rounds without gain on the held-out part before a booster stops.
        columns: Part of the columns that each tree may use.
        loss: XGBoost's objective.
        min_weight: Least weight of a leaf.
    """

    depth: int = 4
    rounds: int = 50
    eta: float = 0.2
    folds: int = 3
    patience: int = 8
    columns: float = 0.5
    loss: str = "reg:squarederror"
    min_weight: float = 2.0

    def parameters(self, seed: int, threads: int) -> dict[str, Any]:
        """Return XGBoost's parameters."""
        return {
            "objective": self.loss,
            "tree_method": "hist",
            "max_depth": self.depth,
            "eta": self.eta,
            "max_bin": _BINS,
            "min_child_weight": self.min_weight,
            "subsample": 0.9,
            "colsample_bytree": self.columns,
            "lambda": 2.0,
            "seed": seed,
            "nthread": threads,
            "verbosity": 0,
        }


class BoosterSet:
    """Trained boosters over the same columns.

    Args:
        boosters: XGBoost boosters; none predicts zero.
        threads: Threads of a prediction.
    """

    def __init__(self, boosters: Sequence[xgboost.Booster], threads: int = 1) -> None:
        self.boosters = tuple(boosters)
        for booster in self.boosters:
            booster.set_param({"nthread": threads})

    def predict(self, features: Matrix) -> tuple[Vector, Vector]:
        """Predict.

        Args:
            features: [N, F].

        Returns:
            [N] mean and [N] standard deviation over the boosters (zero with fewer than two).
        """
        if not self.boosters or not len(features):
            return np.zeros(len(features)), np.zeros(len(features))
        features = np.ascontiguousarray(features, np.float32)
        table = np.stack([booster.inplace_predict(features) for booster in self.boosters])
        return table.mean(axis=0, dtype=float), table.std(axis=0, dtype=float)


def train_boosters(
    features: Matrix,
    targets: Vector,
    options: TreeOptions,
    seed: int,
    threads: int = 1,
    held_out: Sequence[np.ndarray] | None = None,
    weights: Vector | None = None,
) -> BoosterSet:
    """Train one booster for each fold, stopped early on the rows that it does not see.

    One thread is the default because two are many times slower whenever anything else keeps the
    machine busy: XGBoost's threads wait for one another after every tree level.

    Args:
        features: [N, F].
        targets: [N].
        options: Shape of the trees.
        seed: Makes folds and samples reproducible.
        threads: Threads of training and prediction.
        held_out: Masks [N] of the rows to hold out, one for each booster; random parts when absent.
        weights: [N] how much each row counts; all the same when absent.

    Returns:
        The boosters; without held-out rows (fewer than 4 a fold) one booster of all rounds.
    """
    # Not QuantileDMatrix: it calls back into Python, where an interrupt would be swallowed.
    parameters = options.parameters(seed, threads)
    parameters["max_bin"] = _BINS
    size = len(features)
    counts = np.ones(size) if weights is None else weights
    if held_out is None:
        # A single booster holds out a sixth; several hold out one part each.
        places = np.random.default_rng(seed).permutation(size) % (options.folds if options.folds > 1 else 6)
        held_out = [places == fold for fold in range(options.folds)]
    if size < 4 * len(held_out) or not held_out:
        data = xgboost.DMatrix(features, label=targets, weight=weights, nthread=threads)
        return BoosterSet([xgboost.train(parameters, data, options.rounds)], threads)
    boosters = []
    for out in held_out:
        data = xgboost.DMatrix(features[~out], label=targets[~out], weight=counts[~out], nthread=threads)
        check = xgboost.DMatrix(features[out], label=targets[out], weight=counts[out], nthread=threads)
        booster = xgboost.train(
            parameters,
            data,
            options.rounds,
            evals=[(check, "held_out")],
            early_stopping_rounds=options.patience,
            verbose_eval=False,
        )
        boosters.append(booster[: booster.best_iteration + 1])
    return BoosterSet(boosters, threads)


def write_sets(path: Path, kind: str, sets: Mapping[str, BoosterSet], values: Mapping[str, Any]) -> None:
    """Write booster sets and plain values to one file, with the feature version.

    Args:
        path: File to write.
        kind: Name that :func:`read_sets` must be given.
        sets: Booster sets by name.
        values: Anything that JSON can hold.
    """
    header = {
        "kind": kind,
        "feature_version": FEATURE_VERSION,
        "columns": [column.name for column in COLUMNS],
        "sets": {name: len(group.boosters) for name, group in sets.items()},
        "values": dict(values),
    }
    arrays = {"header": np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8)}
    for name, group in sets.items():
        for index, booster in enumerate(group.boosters):
            arrays[f"{name}.{index}"] = np.frombuffer(booster.save_raw("ubj"), np.uint8)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    path.write_bytes(content.getvalue())


def read_sets(path: Path, kind: str, threads: int = 1) -> tuple[dict[str, BoosterSet], dict[str, Any]]:
    """Read what :func:`write_sets` wrote.

    Args:
        path: File to read.
        kind: Expected kind.
        threads: Threads of predictions.

    Returns:
        Booster sets by name, and the values.

    Raises:
        ModelError: If the file is damaged, of another kind, or of another feature version.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays["header"].tobytes())
        version, columns = header["feature_version"], header["columns"]
        found, counts, values = header["kind"], dict(header["sets"]), dict(header["values"])
    except Exception as error:
        raise ModelError(f"{path}: not a saved cost model ({error}); train it again") from error
    if found != kind:
        raise ModelError(f"{path}: a model of kind {found!r}, expected {kind!r}")
    if version != FEATURE_VERSION or columns != [column.name for column in COLUMNS]:
        raise ModelError(
            f"{path}: feature version {version}, this program computes {FEATURE_VERSION}; train it again"
        )
    sets = {}
    for name, count in counts.items():
        boosters = []
        for index in range(count):
            booster = xgboost.Booster()
            try:
                booster.load_model(bytearray(arrays[f"{name}.{index}"].tobytes()))
            except (KeyError, xgboost.core.XGBoostError) as error:
                raise ModelError(f"{path}: trees of {name!r} are damaged; train it again") from error
            boosters.append(booster)
        sets[name] = BoosterSet(boosters, threads)
    return sets, values
