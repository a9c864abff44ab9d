"""XGBoost on what the draft model gets wrong, shared by all tasks of a run.

The target is ``log2(draft / measured)``, centred within each task and limited, less what a
pre-trained model says already; the score adds it back to ``-log2(draft)``. On synthetic machines this
beats learning log throughput, throughput weighted as Ansor does, and XGBoost's pairwise ranking, the
more so the fewer measurements there are (docs/features.md has the table). Failures teach a second model
the probability of failing; expected throughput is throughput times the probability of success.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from cost_models.base import Dataset, Matrix, ModelError, Vector
from cost_models.boosters import BoosterSet, TreeOptions, read_sets, train_boosters, write_sets
from cost_models.kernel_residual import KernelResidual

_KIND = "xgb_ranker"
_SURE = 1e-3
"""Least probability of success, so that a certain failure still has a finite score."""
_FAILURE_TREES = TreeOptions(
    depth=3, rounds=30, eta=0.3, folds=1, columns=1.0, loss="binary:logistic", min_weight=0.2
)
_TRUST_RIDGE = 4.0
"""Rows that the pre-trained model is taken to be right about before the run has any."""


_MOST_RESIDUAL = 1.5
"""Powers of two by which the draft is taken to be wrong at most. Candidates that lose clearly run once or
twice, and a run during which the machine stalls takes a hundred times longer; squares would follow it."""


def residual_target(data: Dataset) -> Vector:
    """Return what trees learn: [N] ``log2(draft / measured)``, centred within each task and limited.

    Args:
        data: Candidates that ran.
    """
    residual = centred(np.log2(data.draft_seconds / data.measured_seconds), data.groups)
    return np.clip(residual, -_MOST_RESIDUAL, _MOST_RESIDUAL)


def centred(values: Vector, groups: np.ndarray) -> Vector:
    """Return values less the median of their group."""
    result = np.array(values, float)
    for group in np.unique(groups):
        rows = groups == group
        result[rows] -= np.median(result[rows])
    return result


class XGBRanker:
    """The learned cost model of a run.

    Args:
        seed: Makes training reproducible.
        threads: Threads of training and prediction.
        prior: Residuals of a pre-trained model; ``None`` to start from the draft alone.
        options: Shape of the trees.
    """

    def __init__(
        self,
        seed: int,
        threads: int = 1,
        prior: BoosterSet | None = None,
        options: TreeOptions | None = None,
    ) -> None:
        self.seed, self.threads, self.options = seed, threads, options or TreeOptions()
        self._prior = prior or BoosterSet([], threads)
        self.trust_ = 1.0
        self.residual_ = BoosterSet([], threads)
        self.failure_ = BoosterSet([], threads)

    def fit(self, data: Dataset) -> Self:
        """Learn from all measurements so far; see :class:`~cost_models.base.CostModel`."""
        if not len(data):
            raise ValueError("fit: the data set is empty")
        self.residual_, self.failure_ = BoosterSet([], self.threads), BoosterSet([], self.threads)
        self.trust_ = 1.0
        ran = data.succeeded
        if not ran.all() and ran.any():
            targets = (~ran).astype(float)
            self.failure_ = train_boosters(
                data.features, targets, _FAILURE_TREES, self.seed, self.threads, held_out=[]
            )
        if ran.sum() >= 2:
            self._fit_residual(data.take(ran))
        return self

    def _fit_residual(self, data: Dataset) -> None:
        target = residual_target(data)
        if self._prior.boosters:
            prior = centred(self._prior.predict(data.features)[0], data.groups)
            square, product = float(prior @ prior), float(prior @ target)
            # Ridge regression towards 1: with few rows the pre-trained model is believed as it is.
            ridge = max(_TRUST_RIDGE * square / len(prior), 1e-12)
            self.trust_ = float(np.clip((product + ridge) / (square + ridge), 0.0, 1.5))
            target = target - self.trust_ * prior
        self.residual_ = train_boosters(data.features, target, self.options, self.seed, self.threads)

    def near(self, data: Dataset) -> KernelResidual:
        """Learn what is particular to one task, after :meth:`fit`.

        Args:
            data: Candidates of one task that ran, at least one.

        Returns:
            What :meth:`predict_with_spread` takes for candidates of that task.
        """
        target = residual_target(data)
        if self._prior.boosters:
            target -= self.trust_ * centred(self._prior.predict(data.features)[0], data.groups)
        return KernelResidual(data.features, target)

    def predict(self, features: Matrix, draft_seconds: Vector) -> Vector:
        """Score candidates; see :class:`~cost_models.base.CostModel`."""
        return self.predict_with_spread(features, draft_seconds)[0]

    def predict_with_spread(
        self, features: Matrix, draft_seconds: Vector, near: KernelResidual | None = None
    ) -> tuple[Vector, Vector]:
        """Score candidates and say how much the boosters disagree.

        Args:
            features: [N, F].
            draft_seconds: [N] what the draft model says.
            near: What is particular to their task; it and the run's trees count half each.

        Returns:
            [N] scores, log2 of expected throughput up to a constant of the task, and [N] standard
            deviations on the same scale; zero before the first fit.
        """
        scores = -np.log2(np.asarray(draft_seconds, float))
        residual, spread = self.residual_.predict(features)
        scores += residual if near is None else (residual + near.predict(features)) / 2.0
        if self._prior.boosters and self.trust_ > 0:
            scores += self.trust_ * self._prior.predict(features)[0]
        if self.failure_.boosters:
            scores += np.log2(np.maximum(1.0 - self.failure_.predict(features)[0], _SURE))
        return scores, spread

    def save(self, path: Path) -> None:
        """Write the model to one file; see :class:`~cost_models.base.CostModel`."""
        sets = {"residual": self.residual_, "failure": self.failure_, "prior": self._prior}
        write_sets(path, _KIND, sets, {"trust": self.trust_, "seed": self.seed})

    def load(self, path: Path) -> Self:
        """Read what :meth:`save` wrote; see :class:`~cost_models.base.CostModel`."""
        sets, values = read_sets(path, _KIND, self.threads)
        try:
            self.residual_, self.failure_, self._prior = sets["residual"], sets["failure"], sets["prior"]
            self.trust_, self.seed = float(values["trust"]), int(values["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: {error} is missing or wrong; train it again") from error
        return self
