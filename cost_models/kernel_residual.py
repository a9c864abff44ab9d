"""What candidates near measured ones have in common with them: kernel regression on one task's rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cost_models.base import Matrix, Vector

_SHARPNESS = 2.0
"""Factor of the mean squared distance over columns in the exponent: candidates one
deviation apart in every column share e^-2."""
_RIDGE = 0.6
"""Variance of the noise over that of the residuals: runs of losing candidates are few."""
_LEAST_EXPONENT = np.float32(-30.0)
"""Anything less alike counts as nothing; denormal numbers would slow a product of matrices down tenfold."""
_MOST_PRODUCTS = 200_000
"""Products of matrices up to this many terms stay on one thread (OpenBLAS starts others from 2**18 on), and
threads that wait for one another are slow whenever anything else keeps the machine busy."""
_MOST_DEVIATIONS = 4.0
_LEAST_DEVIATION = 1e-6


class KernelResidual:
    """Gaussian kernel ridge regression over the columns that vary among the rows.

    With a task's few dozen measurements it generalises in another way than trees, which cut at the few
    values that they have seen; the mean of both ranks better than either (docs/features.md). Far from
    all rows it predicts zero.

    Args:
        features: [N, F] rows of one task.
        targets: [N], centred.
    """

    def __init__(self, features: Matrix, targets: Vector) -> None:
        self._mean, deviation = features.mean(axis=0), features.std(axis=0)
        self._columns = np.flatnonzero(deviation > _LEAST_DEVIATION)
        self._factor = np.float32(1.0) / deviation[self._columns]
        self._rows = self._scaled(features)
        kernel = self._kernel(self._rows).astype(float)
        kernel[np.diag_indices(len(kernel))] += _RIDGE
        self._weights = np.linalg.solve(kernel, targets).astype(np.float32)

    def predict(self, features: Matrix) -> Vector:
        """Predict.

        Args:
            features: [M, F].

        Returns:
            [M] residuals.
        """
        return np.asarray(self._kernel(self._scaled(features)) @ self._weights, float)

    def _scaled(self, features: Matrix) -> Matrix:
        scaled = (features[:, self._columns] - self._mean[self._columns]) * self._factor
        np.clip(scaled, -_MOST_DEVIATIONS, _MOST_DEVIATIONS, out=scaled)
        return np.ascontiguousarray(scaled * np.float32(1.0 / np.sqrt(max(len(self._columns), 1))))

    def _kernel(self, rows: Matrix) -> NDArray[np.float32]:
        """Return [M, N] likeness of rows to those learned from, 1 for the same."""
        exponent = np.empty((len(rows), len(self._rows)), np.float32)
        doubled = np.ascontiguousarray(np.float32(2.0) * self._rows.T)
        step = max(1, _MOST_PRODUCTS // max(doubled.size, 1))
        for start in range(0, len(rows), step):
            np.matmul(rows[start : start + step], doubled, out=exponent[start : start + step])
        exponent -= np.einsum("ij,ij->i", rows, rows)[:, None]
        exponent -= np.einsum("ij,ij->i", self._rows, self._rows)
        exponent *= np.float32(_SHARPNESS)
        np.maximum(exponent, _LEAST_EXPONENT, out=exponent)
        return np.asarray(np.exp(exponent, out=exponent))
