"""What the compiler reports of candidates, as features: known of those that were built, predicted of others.

Registers and spills decide how many blocks a multiprocessor holds, and the estimate that masks and draft
model use knows nothing of the compiler's own choices. Each round's reports correct it for the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cost_models.base import Matrix, Vector
from cost_models.gpu.features import GPU_COLUMN_INDEX
from cost_models.kernel_residual import KernelResidual

_ESTIMATE = GPU_COLUMN_INDEX["main_registers"]
_COLUMNS = (GPU_COLUMN_INDEX["reported_registers"], GPU_COLUMN_INDEX["reported_spill_bytes"])
_FACTS = ("registers", "spill_bytes")
_ROWS = 96
"""Most reports that the regression holds, the latest, as for run times (cost_models/predictor.py)."""


class CompilerReports:
    """Registers and spills of one task's candidates; owned by one thread.

    Predictions start from the estimate and from no spills; the mean error of the reports and a kernel
    regression of what is left correct them.
    """

    def __init__(self) -> None:
        self._features: list[NDArray[np.float32]] = []
        self._errors: list[tuple[float, float]] = []
        self._mean = np.zeros(2)
        self._near: list[KernelResidual] = []
        self._is_stale = False

    def observe(self, features: Matrix, facts: Sequence[Mapping[str, float]]) -> None:
        """Remember what was reported, and put it into the features of those rows.

        Args:
            features: [N, F] as :func:`cost_models.gpu.features.extract_gpu` makes them; changed in place.
            facts: N reports by name, empty where there is none; or none at all.
        """
        self.fill(features)
        for row, reported in zip(features, facts, strict=bool(facts)):
            if not all(name in reported for name in _FACTS):
                continue
            for column, name in zip(_COLUMNS, _FACTS, strict=True):
                row[column] = np.log2(1.0 + reported[name])
            registers, spills = (float(row[column]) for column in _COLUMNS)
            self._errors.append((registers - float(row[_ESTIMATE]), spills))
            self._features.append(_without(row[None])[0])
            self._is_stale = True

    def fill(self, features: Matrix) -> None:
        """Put predictions into the features of rows that were not built, in place."""
        if not len(features) or not self._errors:
            return
        self._refit()
        predicted = self._predict(features)
        features[:, _COLUMNS[0]] = features[:, _ESTIMATE] + predicted[:, 0]
        features[:, _COLUMNS[1]] = predicted[:, 1]
        features[:, list(_COLUMNS)] = np.maximum(features[:, list(_COLUMNS)], 0.0)

    def _predict(self, features: Matrix) -> Vector:
        described = _without(features)
        return np.stack([near.predict(described) for near in self._near], axis=1) + self._mean

    def _refit(self) -> None:
        if self._is_stale:
            rows = np.stack(self._features[-_ROWS:])
            errors = np.array(self._errors[-_ROWS:])
            self._mean = errors.mean(axis=0)
            self._near = [KernelResidual(rows, targets) for targets in (errors - self._mean).T]
            self._is_stale = False


class NothingReported:
    """For machines whose compiler reports nothing that the features could use."""

    def observe(self, features: Matrix, facts: Sequence[Mapping[str, float]]) -> None:
        """Leave the features as they are."""

    def fill(self, features: Matrix) -> None:
        """Leave the features as they are."""


def _without(features: Matrix) -> NDArray[np.float32]:
    """Return the features without those that are to be predicted."""
    kept = features.copy()
    kept[:, list(_COLUMNS)] = 0.0
    return kept
