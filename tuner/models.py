"""The cost model of a run, shared by all its tasks."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from cost_models.predictor import Prediction, Predictor
from cost_models.pretrained import WEIGHTS_DIRECTORY
from search_space.hardware import Machine


class RunModel:
    """Learns from every task and is refitted at most once a batch.

    Args:
        hardware: The machine's limits.
        seed: Seed of the training.
        disable: Parts to go without: ``pretrained`` (see :data:`tuner.options.ABLATIONS`).
    """

    def __init__(self, hardware: Machine, seed: int, disable: Collection[str] = ()) -> None:
        # Pre-trained trees correct the draft: without it they mean nothing.
        self._is_told = bool({"pretrained", "draft"} & set(disable))
        weights = None if self._is_told else WEIGHTS_DIRECTORY
        self._predictor = Predictor(hardware, seed, weights=weights)
        self._is_stale = False

    def observe(
        self,
        group: int,
        features: NDArray[np.float32],
        draft_seconds: NDArray[np.float64],
        measured_seconds: NDArray[np.float64],
    ) -> None:
        """Remember measurements; ``nan`` for failures."""
        self._predictor.observe(group, features, draft_seconds, measured_seconds)
        self._is_stale = True

    def refit(self) -> None:
        """Learn from what was observed since the last time."""
        if self._is_stale:
            self._predictor.refit()
            self._is_stale = False

    def predict(
        self, features: NDArray[np.float32], draft_seconds: NDArray[np.float64], group: int
    ) -> Prediction:
        """Return predicted seconds of one task, lower is better, and their doubt."""
        return self._predictor.predict(features, draft_seconds, group)

    @property
    def notice(self) -> str:
        """Why the draft model ranks alone what was not measured; empty if it does not, or was told to."""
        return "" if self._is_told or self._predictor.is_pretrained else self._predictor.reason
