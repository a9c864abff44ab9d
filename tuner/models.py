"""The cost model of a run, shared by all its tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cost_models.predictor import Predictor
from search_space.hardware import Machine


class RunModel:
    """Learns from every task and is refitted at most once a batch.

    Args:
        hardware: The machine's limits.
        seed: Seed of the training.
    """

    def __init__(self, hardware: Machine, seed: int) -> None:
        self._predictor = Predictor(hardware, seed)
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
    ) -> NDArray[np.float64]:
        """Return predicted seconds of one task, lower is better."""
        return np.asarray(self._predictor.predict(features, draft_seconds, group).seconds)

    @property
    def reason(self) -> str:
        """What ranks before anything was measured, and why."""
        return self._predictor.reason
