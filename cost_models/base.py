"""The contract of learned models: arrays in, scores out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]


class ModelError(ValueError):
    """A model file is unreadable, or of another feature version."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Measured candidates of several tasks.

    Attributes:
        features: [N, F] of one feature version.
        draft_seconds: [N] what the draft model says; positive.
        measured_seconds: [N] positive; ``nan`` for a candidate that failed.
        groups: [N] task of each candidate; only candidates of one task are compared.
    """

    features: Matrix
    draft_seconds: Vector
    measured_seconds: Vector
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        size = len(self.features)
        for name in ("draft_seconds", "measured_seconds", "groups"):
            values = getattr(self, name)
            if values.shape != (size,):
                raise ValueError(f"dataset {name}: shape {values.shape}, expected ({size},)")
        if not (self.draft_seconds > 0).all():
            raise ValueError("dataset draft_seconds: expected positive numbers")
        if (self.measured_seconds <= 0).any():
            raise ValueError("dataset measured_seconds: expected positive numbers, or nan for a failure")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def succeeded(self) -> NDArray[np.bool_]:
        """[N] whether the candidate ran."""
        return np.asarray(~np.isnan(self.measured_seconds))

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Dataset:
        """Return some of the candidates."""
        return Dataset(
            self.features[rows], self.draft_seconds[rows], self.measured_seconds[rows], self.groups[rows]
        )

    @staticmethod
    def join(parts: list[Dataset]) -> Dataset:
        """Return all candidates of several data sets, in order."""
        return Dataset(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.draft_seconds for part in parts]),
            np.concatenate([part.measured_seconds for part in parts]),
            np.concatenate([part.groups for part in parts]),
        )


class CostModel(Protocol):
    """Ranks candidates of one task.

    A score is comparable within a task only; higher is better, on the scale of
    ``log2(1 / seconds)``. ``predict`` works before the first ``fit`` (from the draft, at random, or
    from shipped weights) and is a function of the row alone, except for models that say they are
    random. ``fit`` replaces what was learned by what the data set says, uses no more state than the
    arguments and the seed that the model was made with, and accepts any data set of at least one
    row, failures included: they must score below what ran. Models are owned by one thread. No
    method prints or keeps a reference to the arrays it is given.
    """

    def fit(self, data: Dataset) -> Self:
        """Learn from all measurements so far.

        Args:
            data: Measured candidates of the same feature version.

        Returns:
            The model.
        """

    def predict(self, features: Matrix, draft_seconds: Vector) -> Vector:
        """Score candidates.

        Args:
            features: [N, F].
            draft_seconds: [N] what the draft model says.

        Returns:
            [N] finite scores, higher is better.
        """

    def save(self, path: Path) -> None:
        """Write everything that ``predict`` needs to one file."""

    def load(self, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: If the file is damaged or its feature version is another one.
        """
