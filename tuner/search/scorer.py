"""From decisions to predicted seconds: sketch, nests, features, model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cost_models.describe import describe, reports_for
from cost_models.features.columns import COLUMN_INDEX
from cost_models.predictor import Prediction
from search_space.hardware import Machine
from search_space.sketch import Sketch

_DRAFT_COLUMNS = [index for name, index in COLUMN_INDEX.items() if name.startswith("draft_")]
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
    ) -> Prediction:
        """Return predicted seconds, lower is better and comparable within one task, and their doubt."""
        ...


class Scorer:
    """Scores candidates of one task and feeds its measurements to the shared model.

    Args:
        hardware: Limits.
        predictor: The model that all tasks of a run share.
        group: The task's number.
        use_draft: Whether the draft model has a say; without it what it predicts is hidden.
    """

    def __init__(
        self, hardware: Machine, predictor: PredictorLike, group: int, use_draft: bool = True
    ) -> None:
        self._hardware = hardware
        self._predictor = predictor
        self._group = group
        self._use_draft = use_draft
        self._reports = reports_for(hardware)

    def score(self, sketch: Sketch, rows: Rows) -> Seconds:
        """Predict seconds for every row: [N]."""
        return self.predict(sketch, rows).seconds

    def predict(self, sketch: Sketch, rows: Rows) -> Prediction:
        """Predict seconds for every row, and how doubtful they are."""
        if not len(rows):
            return Prediction(np.zeros(0), np.zeros(0))
        features, draft = self._features(sketch, rows)
        self._reports.fill(features)
        return self._predictor.predict(features, draft, self._group)

    def learn(
        self, sketch: Sketch, rows: Rows, seconds: Seconds, facts: Sequence[Mapping[str, float]] = ()
    ) -> None:
        """Hand measurements to the model (``nan`` for failures), and what the compiler reported."""
        if len(rows):
            features, draft = self._features(sketch, rows)
            self._reports.observe(features, facts)
            self._predictor.observe(self._group, features, draft, seconds)

    def _features(self, sketch: Sketch, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        features, draft = describe(sketch.nests(rows), self._hardware)
        if not self._use_draft:
            features[:, _DRAFT_COLUMNS] = 0.0
            draft = np.ones_like(draft)
        return features, np.asarray(draft, dtype=np.float64)
