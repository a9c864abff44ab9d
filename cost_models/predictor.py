"""What a search holds: measurements go in, predicted seconds come out.

How the parts combine: ``log2(seconds) = log2(draft) - trust * pretrained(x) - residual(x)
- log2(P(success))``, plus the task's own median error once it has measurements. The pre-trained
trees are a fixed base and the run's trees learn what is left; ``trust`` is a ridge regression of
the run's data on the pre-trained prediction that starts at 1. ``residual`` is the mean of the run's
trees, which all tasks share, and of a kernel regression on the task's own measurements. Without weights
for the machine the pre-trained term goes; before the first measurement the later ones do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from cost_models.base import Dataset, Matrix, Vector
from cost_models.boosters import BoosterSet
from cost_models.kernel_residual import KernelResidual
from cost_models.pretrained import WEIGHTS_DIRECTORY, load_pretrained
from cost_models.xgb_ranker import XGBRanker

if TYPE_CHECKING:
    from search_space.hardware import Machine

_NEAR_ROWS = 96
"""Most measurements of a task that its kernel regression holds, the latest: scoring takes time for each."""
_BLIND_SPREAD = 1.0
"""Standard deviation, in powers of two, that is claimed before anything was learned."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted run times.

    Attributes:
        seconds: [N] expected seconds, lower is better; likely failures are made slow.
        spread: [N] doubt as a standard deviation of ``log2(seconds)``.
    """

    seconds: Vector
    spread: Vector


class Predictor:
    """Pre-trained model, draft model and run data under one roof; owned by one thread.

    Args:
        hardware: The machine; any object with the attributes of ``Hardware``.
        seed: Makes training reproducible.
        threads: Threads of training and prediction; more than one only pays on an idle machine.
        weights: Folder of pre-trained weights; ``None`` to go without.
        row_limit: Most measurements that training looks at; of more, a random part.
    """

    def __init__(
        self,
        hardware: Machine,
        seed: int,
        *,
        threads: int = 1,
        weights: Path | None = WEIGHTS_DIRECTORY,
        row_limit: int = 3000,
    ) -> None:
        prior: BoosterSet | None = None
        self.reason = "draft model: pre-trained weights are switched off"
        if weights is not None:
            loaded = load_pretrained(hardware, weights, threads)
            prior, self.reason = loaded.residual, loaded.reason
        self.is_pretrained = prior is not None
        self._seed, self._row_limit = seed, row_limit
        self._parts: list[Dataset] = []
        self._offsets: dict[int, float] = {}
        self._near: dict[int, KernelResidual] = {}
        self.model_ = XGBRanker(seed, threads, prior)
        self.is_fitted_ = False

    @property
    def data(self) -> Dataset | None:
        """Everything observed, in order; ``None`` before the first observation."""
        return Dataset.join(self._parts) if self._parts else None

    def observe(self, group: int, features: Matrix, draft_seconds: Vector, measured_seconds: Vector) -> None:
        """Remember measurements; nothing is learned before :meth:`refit`.

        Args:
            group: Task of these candidates.
            features: [N, F].
            draft_seconds: [N] what the draft model said.
            measured_seconds: [N]; ``nan`` for a candidate that failed.

        Raises:
            ValueError: If shapes differ or a time is not positive.
        """
        size = len(features)
        if not size:
            return
        self._parts.append(
            Dataset(
                np.array(features, np.float32),
                np.array(draft_seconds, float),
                np.array(measured_seconds, float),
                np.full(size, group, np.int64),
            )
        )

    def refit(self) -> Self:
        """Learn from everything observed."""
        data = self.data
        if data is None:
            return self
        self._parts = [data]
        chosen = data
        if len(data) > self._row_limit:
            rows = np.random.default_rng(self._seed).permutation(len(data))[: self._row_limit]
            chosen = data.take(np.sort(rows))
        self.model_.fit(chosen)
        self.is_fitted_ = bool(self.model_.residual_.boosters)
        ran = data.take(data.succeeded)
        for group in np.unique(ran.groups).tolist():
            own = ran.take(np.flatnonzero(ran.groups == group)[-_NEAR_ROWS:])
            near = self._near[group] = self.model_.near(own)
            scores, _ = self.model_.predict_with_spread(own.features, own.draft_seconds, near)
            self._offsets[group] = float(np.median(np.log2(own.measured_seconds) + scores))
        return self

    def predict(self, features: Matrix, draft_seconds: Vector, group: int | None = None) -> Prediction:
        """Predict run times.

        Args:
            features: [N, F].
            draft_seconds: [N] what the draft model says.
            group: The task; with measurements of it the level of the prediction is right too, not
                only the order.

        Returns:
            Seconds and doubt.
        """
        near = self._near.get(group) if group is not None else None
        scores, spread = self.model_.predict_with_spread(features, draft_seconds, near)
        offset = self._offsets.get(group, 0.0) if group is not None else 0.0
        if not self.is_fitted_:
            spread = np.full(len(scores), _BLIND_SPREAD)
        return Prediction(np.exp2(offset - scores), spread)
