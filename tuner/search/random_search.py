"""Uniform sampling of valid candidates: the strategy that every other one must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from search_space.sketch import Sketch
from tuner.search.base import Proposal


class RandomSearch:
    """Propose valid rows of all sketches with equal chance.

    Args:
        sketches: The task's sketches by name.
        rng: Source of randomness.
    """

    def __init__(self, sketches: Mapping[str, Sketch], rng: np.random.Generator) -> None:
        self._sketches = dict(sketches)
        self._rng = rng
        self._seen: set[tuple[str, bytes]] = set()

    def propose(self, count: int) -> list[Proposal]:
        """See :class:`tuner.search.base.SearchStrategy`."""
        found: dict[tuple[str, bytes], Proposal] = {}
        names = list(self._sketches)
        for _ in range(20):
            for name in names:
                for row in self._sketches[name].sample(self._rng, -(-count // len(names))):
                    proposal = Proposal(name, row, float("nan"), "sample")
                    if proposal.key not in self._seen:
                        found.setdefault(proposal.key, proposal)
            if len(found) >= count:
                break
        proposals = list(found.values())
        order = self._rng.permutation(len(proposals))[:count]
        return [proposals[i] for i in order]

    def observe(
        self,
        sketch: str,
        rows: NDArray[np.int32],
        seconds: Sequence[float | None],
        facts: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """See :class:`tuner.search.base.SearchStrategy`."""
        self._seen.update((sketch, np.asarray(row, dtype=np.int32).tobytes()) for row in rows)
