"""What a run minimises over the latencies of its tasks (Ansor section 6.2, f1 to f4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tuner.errors import UserError

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveInput:
    """The tasks' state that an objective may look at.

    Attributes:
        calls: [M, T] how often each of M models calls each of T tasks.
        latencies: [T] best seconds of each task.
        baselines: [M] seconds of each model before tuning.
        stalled: [T] whether a task has stopped improving.
    """

    calls: NDArray[np.float64]
    latencies: Vector
    baselines: Vector
    stalled: NDArray[np.bool_]

    @property
    def models(self) -> Vector:
        """[M] seconds of each model."""
        return np.asarray(self.calls @ self.latencies)


class Objective(Protocol):
    """A function of the tasks' latencies, smaller is better, and its slope."""

    def value(self, state: ObjectiveInput) -> float:
        """Return the objective."""
        ...

    def slopes(self, state: ObjectiveInput) -> Vector:
        """Return [T] the change of the objective per second of each task; zero where it is of no use."""
        ...


@dataclass(frozen=True, slots=True)
class Latency:
    """f1: the sum of the models' latencies."""

    def value(self, state: ObjectiveInput) -> float:
        """See :class:`Objective`."""
        return float(state.models.sum())

    def slopes(self, state: ObjectiveInput) -> Vector:
        """See :class:`Objective`."""
        return np.asarray(state.calls.sum(axis=0))


@dataclass(frozen=True, slots=True)
class Requirement:
    """f2: the sum of max(latency, requirement): a model that is fast enough gets nothing more."""

    seconds: float

    def value(self, state: ObjectiveInput) -> float:
        """See :class:`Objective`."""
        return float(np.maximum(state.models, self.seconds).sum())

    def slopes(self, state: ObjectiveInput) -> Vector:
        """See :class:`Objective`."""
        return np.asarray(state.calls[state.models > self.seconds].sum(axis=0))


@dataclass(frozen=True, slots=True)
class GeometricMean:
    """f3: minus the geometric mean of the models' speed-ups."""

    def value(self, state: ObjectiveInput) -> float:
        """See :class:`Objective`."""
        return -float(np.exp(np.mean(np.log(state.baselines / state.models))))

    def slopes(self, state: ObjectiveInput) -> Vector:
        """See :class:`Objective`."""
        mean = -self.value(state)
        per_model = mean / (len(state.models) * state.models)
        return np.asarray(per_model @ state.calls)


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """f4: the sum of latencies, where a task that stopped improving counts no more."""

    def value(self, state: ObjectiveInput) -> float:
        """See :class:`Objective`."""
        return float(state.models.sum())

    def slopes(self, state: ObjectiveInput) -> Vector:
        """See :class:`Objective`."""
        return np.asarray(np.where(state.stalled, 0.0, state.calls.sum(axis=0)))


@dataclass(frozen=True, slots=True)
class Custom:
    """A user's function of the models' latencies; its slope is taken numerically."""

    function: Callable[[Sequence[float]], float]

    def value(self, state: ObjectiveInput) -> float:
        """See :class:`Objective`.

        Raises:
            UserError: If the function returns no finite number.
        """
        return self._of(state.models)

    def slopes(self, state: ObjectiveInput) -> Vector:
        """See :class:`Objective`."""
        found = np.zeros(len(state.latencies))
        before = self.value(state)
        for t, latency in enumerate(state.latencies):
            step = 1e-3 * latency
            moved = state.latencies.copy()
            moved[t] += step
            found[t] = (self._of(state.calls @ moved) - before) / step
        return found

    def _of(self, models: Vector) -> float:
        latencies = [float(seconds) for seconds in models]
        value = self.function(latencies)
        if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise UserError(
                f"the objective function returned {value!r} for latencies {latencies}: "
                "it must return a finite number, smaller being better"
            )
        return float(value)


_NAMED: Mapping[str, Objective] = {
    "latency": Latency(),
    "geomean": GeometricMean(),
    "early-stop": EarlyStop(),
}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(us|ms|s)$")


def objective_of(choice: str | Callable[[Sequence[float]], float]) -> Objective:
    """Turn a user's choice into an objective.

    Args:
        choice: ``latency``, ``requirement:20ms``, ``geomean``, ``early-stop``, or a function of the
            models' latencies in seconds.

    Returns:
        The objective.

    Raises:
        UserError: If the name is unknown or the requirement is no duration.
    """
    if not isinstance(choice, str):
        return Custom(choice)
    if choice in _NAMED:
        return _NAMED[choice]
    name, _, argument = choice.partition(":")
    if name == "requirement":
        found = _DURATION.match(argument)
        if found is None or float(found[1]) <= 0:
            raise UserError(f"--objective {choice}: expected a duration such as requirement:20ms")
        return Requirement(float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]])
    raise UserError(f"unknown objective {choice!r}: use latency, requirement:20ms, geomean or early-stop")
