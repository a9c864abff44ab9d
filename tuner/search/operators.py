"""The operators that make candidates of candidates, and which of them to use more often.

Credit follows probability matching (Thierens, GECCO'05): an operator's share grows with what its children
achieved lately, in the model's eyes (they stay in the population) and on the machine (they are among the
fastest of their batch), and never falls below a floor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from search_space.decisions import DecisionSpace, Rows

Floats = NDArray[np.float64]
Operator = Callable[[DecisionSpace, np.random.Generator, Rows, Rows], Rows]
"""Makes one child [N, S] of each pair of a better and any parent, both [N, S]."""


def _move(space: DecisionSpace, rng: np.random.Generator, mothers: Rows, _: Rows) -> Rows:
    return space.mutate(rng, mothers, moves=1, jump=0.0)


def _moves(space: DecisionSpace, rng: np.random.Generator, mothers: Rows, _: Rows) -> Rows:
    return space.mutate(rng, mothers, moves=3, jump=0.1)


def _jump(space: DecisionSpace, rng: np.random.Generator, mothers: Rows, _: Rows) -> Rows:
    return space.mutate(rng, mothers, moves=1, jump=1.0)


def _crossover(space: DecisionSpace, rng: np.random.Generator, mothers: Rows, fathers: Rows) -> Rows:
    return space.crossover(rng, mothers, fathers)


def _sample(space: DecisionSpace, rng: np.random.Generator, mothers: Rows, _: Rows) -> Rows:
    return space.sample(rng, len(mothers))


OPERATORS: Mapping[str, Operator] = {
    "move": _move,
    "moves": _moves,
    "jump": _jump,
    "crossover": _crossover,
    "sample": _sample,
}
"""One small move, several, one decision drawn anew, decisions of two parents, all decisions drawn anew."""

_RATE = 0.3
"""How fast old credit fades."""
_FLOOR = 0.05
"""Least share of an operator."""


class Bandit:
    """Shares of the operators.

    Args:
        names: The operators in use.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)
        self._kept = np.full(len(self.names), 0.5)
        self._fast = np.full(len(self.names), 0.5)

    @property
    def shares(self) -> Floats:
        """[K] share of each operator; they add up to 1."""
        value = self._kept / self._kept.sum() + self._fast / self._fast.sum()
        free = 1.0 - _FLOOR * len(self.names)
        return np.asarray(_FLOOR + free * value / value.sum())

    def saw_children(self, made: Floats, kept: Floats) -> None:
        """Learn how many children of each operator [K] stayed in the population."""
        tried = made > 0
        rate = kept[tried] / made[tried]
        self._kept[tried] += _RATE * (rate - self._kept[tried])
        self._kept = np.maximum(self._kept, 1e-3)

    def saw_measurement(self, name: str, is_fast: bool) -> None:
        """Learn whether a measured child of an operator is among the fastest of its batch."""
        if name in self.names:
            place = self.names.index(name)
            self._fast[place] += _RATE / 4 * (float(is_fast) - self._fast[place])
            self._fast = np.maximum(self._fast, 1e-2)
