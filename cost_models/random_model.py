"""A model that knows nothing: the baseline of every ablation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from cost_models.base import Dataset, Matrix, ModelError, Vector
from cost_models.features.columns import FEATURE_VERSION


class RandomModel:
    """Scores candidates at random; says so as the contract allows.

    Args:
        seed: Start of the random sequence.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator = np.random.default_rng(seed)

    def fit(self, data: Dataset) -> Self:
        """Learn nothing."""
        if not len(data):
            raise ValueError("fit: the data set is empty")
        return self

    def predict(self, features: Matrix, draft_seconds: Vector) -> Vector:
        """Return [N] uniform random scores."""
        del draft_seconds
        return self._generator.random(len(features))

    def save(self, path: Path) -> None:
        """Write the seed."""
        path.write_text(json.dumps({"kind": "random", "feature_version": FEATURE_VERSION, "seed": self.seed}))

    def load(self, path: Path) -> Self:
        """Read the seed and start its sequence again."""
        try:
            values = json.loads(path.read_text())
            version, seed = values["feature_version"], int(values["seed"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path}: not a saved cost model ({error})") from error
        if version != FEATURE_VERSION:
            raise ModelError(f"{path}: feature version {version}, this program computes {FEATURE_VERSION}")
        self.seed = seed
        self._generator = np.random.default_rng(seed)
        return self
