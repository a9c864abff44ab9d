"""From decisions to predicted seconds: sketch, nests, features, model."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cost_models.features import describe
from search_space.hardware import Machine
from search_space.sketch import Sketch

Rows = NDArray[np.int32]
Seconds = NDArray[np.float64]


class PredictorLike(Protocol):
    """What a scorer needs of a cost model that learns during a run."""

    def observe(
        self,
        group: int,
        features: NDArray[np.float32],
        draft_seconds: NDArray[np.float64],
        measured_seconds: NDArray[np.float64],
    ) -> None:
        """Remember measurements of one task (``nan`` for failures)."""
        ...

    def predict(
        self, features: NDArray[np.float32], draft_seconds: NDArray[np.float64], group: int
    ) -> Seconds:
        """Return predicted seconds, lower is better; comparable within one task."""
        ...


class Scorer:
    """Scores candidates of one task and feeds its measurements to the shared model.

    Args:
        hardware: Limits.
        predictor: The model that all tasks of a run share.
        group: The task's number.
    """

    def __init__(self, hardware: Machine, predictor: PredictorLike, group: int) -> None:
        self._hardware = hardware
        self._predictor = predictor
        self._group = group

    def score(self, sketch: Sketch, rows: Rows) -> Seconds:
        """Predict seconds for every row: [N]."""
        if not len(rows):
            return np.zeros(0)
        features, draft = self._features(sketch, rows)
        return self._predictor.predict(features, draft, self._group)

    def learn(self, sketch: Sketch, rows: Rows, seconds: Seconds) -> None:
        """Hand measurements to the model; ``nan`` for failures."""
        if len(rows):
            features, draft = self._features(sketch, rows)
            self._predictor.observe(self._group, features, draft, seconds)

    def _features(self, sketch: Sketch, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        features, draft = describe(sketch.nests(rows), self._hardware)
        return features, np.asarray(draft, dtype=np.float64)
