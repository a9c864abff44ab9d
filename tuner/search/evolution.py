"""Evolutionary search over whole populations (Ansor section 5.1), in decision space.

One round: per sketch a population of measured elites and fresh samples evolves for some generations
under the cost model; the best unmeasured candidates of all sketches, the neighbours of the incumbent
(coordinate descent, DPAnsor) and a few random ones make the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space.sketch import Sketch
from tuner.search.base import Proposal
from tuner.search.scorer import Rows, Scorer, Seconds


@dataclass(frozen=True, slots=True)
class EvolutionOptions:
    """Knobs of the search.

    Attributes:
        population: Candidates kept per round, over all sketches.
        generations: Generations per round.
        crossover: Share of children with two parents.
        explore: Share of a batch drawn at random (Ansor's eps-greedy).
        neighbours: Share of a batch taken from the incumbent's neighbourhood.
        elites: Measured candidates that enter the population.
    """

    population: int = 1024
    generations: int = 4
    crossover: float = 0.3
    explore: float = 0.06
    neighbours: float = 0.25
    elites: int = 64


@dataclass(slots=True)
class _Pool:
    """Scored candidates of one sketch."""

    rows: Rows
    seconds: Seconds
    origin: NDArray[np.int8]


_ORIGINS = ("sample", "mutate", "crossover", "elite", "neighbour")


class EvolutionarySearch:
    """The default strategy.

    Args:
        sketches: The task's sketches by name.
        scorer: Predicts seconds and learns from measurements.
        rng: Source of randomness.
        options: Knobs.
    """

    def __init__(
        self,
        sketches: Mapping[str, Sketch],
        scorer: Scorer,
        rng: np.random.Generator,
        options: EvolutionOptions | None = None,
    ) -> None:
        self._sketches = dict(sketches)
        self._scorer = scorer
        self._rng = rng
        self._options = options or EvolutionOptions()
        self._measured: dict[tuple[str, bytes], float] = {}

    def observe(self, sketch: str, rows: NDArray[np.int32], seconds: Sequence[float | None]) -> None:
        """See :class:`tuner.search.base.SearchStrategy`."""
        if sketch not in self._sketches or not len(rows):
            return
        rows = np.asarray(rows, dtype=np.int32)
        values = np.array([np.nan if s is None else s for s in seconds], dtype=np.float64)
        for row, value in zip(rows, values, strict=True):
            self._measured[(sketch, row.tobytes())] = float(value)
        self._scorer.learn(self._sketches[sketch], rows, values)

    def propose(self, count: int) -> list[Proposal]:
        """See :class:`tuner.search.base.SearchStrategy`."""
        shares = self._shares()
        pools = {name: self._evolve(name, shares[name]) for name in self._sketches}
        return self._batch(pools, count)

    def _shares(self) -> dict[str, int]:
        """Divide the population: every sketch a part, more to those that measured well."""
        best: dict[str, float] = {}
        for (name, _), seconds in self._measured.items():
            if not np.isnan(seconds):
                best[name] = min(seconds, best.get(name, np.inf))
        weights = {name: 1.0 for name in self._sketches}
        if best:
            record = min(best.values())
            weights = {n: 0.15 + (record / best[n]) ** 2 if n in best else 0.4 for n in self._sketches}
        total = sum(weights.values())
        return {n: max(64, int(self._options.population * w / total)) for n, w in weights.items()}

    def _elites(self, name: str) -> Rows:
        mine = [
            (seconds, key[1])
            for key, seconds in self._measured.items()
            if key[0] == name and not np.isnan(seconds)
        ]
        mine.sort(key=lambda item: item[0])
        width = len(self._sketches[name].space.slots)
        rows = [np.frombuffer(data, dtype=np.int32) for _, data in mine[: self._options.elites]]
        return np.array(rows, dtype=np.int32).reshape(len(rows), width)

    def _evolve(self, name: str, size: int) -> _Pool:
        sketch = self._sketches[name]
        elites = self._elites(name)
        fresh = sketch.sample(self._rng, size)
        pool = self._scored(sketch, np.concatenate([elites, fresh]), len(elites))
        for _ in range(self._options.generations):
            if not len(pool.rows):
                break
            children, origin = self._children(sketch, pool, size)
            pool = self._merge(sketch, pool, children, origin, size)
        if len(elites):
            near = np.concatenate([sketch.space.neighbourhood(row) for row in elites[:3]])
            near = near[sketch.valid(near)] if len(near) else near
            origin = np.full(len(near), _ORIGINS.index("neighbour"), dtype=np.int8)
            pool = self._merge(sketch, pool, near, origin, size + len(near))
        return pool

    def _scored(self, sketch: Sketch, rows: Rows, elites: int) -> _Pool:
        origin = np.zeros(len(rows), dtype=np.int8)
        origin[:elites] = _ORIGINS.index("elite")
        rows, first = np.unique(rows, axis=0, return_index=True)
        return _Pool(rows, self._scorer.score(sketch, rows), origin[first])

    def _children(self, sketch: Sketch, pool: _Pool, count: int) -> tuple[Rows, NDArray[np.int8]]:
        """Make children of parents drawn by rank."""
        rank = np.argsort(np.argsort(pool.seconds))
        weights = np.exp(-4.0 * rank / max(1, len(rank)))
        weights /= weights.sum()
        mothers = pool.rows[self._rng.choice(len(pool.rows), size=count, p=weights)]
        fathers = pool.rows[self._rng.choice(len(pool.rows), size=count, p=weights)]
        crossed = self._rng.random(count) < self._options.crossover
        mixed = sketch.space.crossover(self._rng, mothers, fathers)
        mutated = sketch.space.mutate(self._rng, mothers, moves=1 + int(self._rng.random() < 0.4))
        children = np.where(crossed[:, None], mixed, mutated).astype(np.int32)
        origin = np.where(crossed, _ORIGINS.index("crossover"), _ORIGINS.index("mutate")).astype(np.int8)
        valid = sketch.valid(children)
        return children[valid], origin[valid]

    def _merge(self, sketch: Sketch, pool: _Pool, rows: Rows, origin: NDArray[np.int8], size: int) -> _Pool:
        known = {row.tobytes() for row in pool.rows}
        fresh: list[int] = []
        for i, row in enumerate(rows):
            data = row.tobytes()
            if data not in known:
                known.add(data)
                fresh.append(i)
        if not fresh:
            return pool
        rows, origin = rows[fresh], origin[fresh]
        joined = _Pool(
            np.concatenate([pool.rows, rows]),
            np.concatenate([pool.seconds, self._scorer.score(sketch, rows)]),
            np.concatenate([pool.origin, origin]),
        )
        keep = np.argsort(joined.seconds, kind="stable")[:size]
        return _Pool(joined.rows[keep], joined.seconds[keep], joined.origin[keep])

    def _batch(self, pools: Mapping[str, _Pool], count: int) -> list[Proposal]:
        ranked: list[Proposal] = []
        for name, pool in pools.items():
            for i in np.argsort(pool.seconds, kind="stable"):
                proposal = Proposal(name, pool.rows[i], float(pool.seconds[i]), _ORIGINS[int(pool.origin[i])])
                if proposal.key not in self._measured:
                    ranked.append(proposal)
        ranked.sort(key=lambda p: p.predicted_seconds)
        if not ranked:
            return []
        chosen: dict[tuple[str, bytes], Proposal] = {}

        def take(candidates: Sequence[Proposal], wanted: int, diverse: bool) -> None:
            for proposal in candidates:
                if len(chosen) >= count or wanted <= 0:
                    return
                if proposal.key in chosen or (diverse and self._is_crowded(proposal, chosen.values())):
                    continue
                chosen[proposal.key] = proposal
                wanted -= 1

        if not self._measured:
            # Nothing is known of this task: look at the best of every sketch first.
            for name in pools:
                take([p for p in ranked if p.sketch == name], 1, diverse=False)
        near = [p for p in ranked if p.origin == "neighbour"]
        take(near, round(self._options.neighbours * count), diverse=False)
        explore = round(self._options.explore * count + 0.49) if count > 2 else 0
        picked = self._rng.permutation(len(ranked))[: 4 * explore]
        take(ranked, count - len(chosen) - explore, diverse=True)
        take([ranked[i] for i in picked], explore, diverse=False)
        take(ranked, count, diverse=False)
        return sorted(chosen.values(), key=lambda p: p.predicted_seconds)

    @staticmethod
    def _is_crowded(proposal: Proposal, chosen: Iterable[Proposal]) -> bool:
        """Report whether two chosen candidates differ from this one in a single decision."""
        close = 0
        for other in chosen:
            if other.sketch == proposal.sketch and int(np.sum(other.row != proposal.row)) <= 1:
                close += 1
        return close >= 2
