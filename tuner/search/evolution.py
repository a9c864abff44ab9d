"""Evolutionary search over whole populations (Ansor section 5.1), in decision space.

One round: per sketch a population of measured elites and fresh samples evolves for some generations
under the cost model, by operators that get the more children the more they paid lately; what is
worth measuring of it becomes the batch (``batch.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search_space.sketch import Sketch
from tuner.search.allocation import LEAST_POPULATION, Standing, divide, owed
from tuner.search.base import Proposal
from tuner.search.batch import BatchOptions, Pool, choose
from tuner.search.operators import OPERATORS, Bandit
from tuner.search.scorer import Rows, Scorer

_STALL_TRIALS = 32
"""Measurements without a gain after which the neighbourhood of the incumbent is searched."""
_STALL_GAIN = 0.02
_EVOLVED = 3
"""Sketches that evolve for all generations in the first round, the most promising ones; others get one."""
_CALLS = 12
"""Populations scored in a round of several sketches: each takes some 10 ms, however small it is."""
_CONSIDERED = 256
"""Candidates of a sketch that may enter a batch."""
_CENTRES = 8
"""Candidates whose neighbourhoods are searched, one after the other."""
_FAST_PART = 4
"""The fastest 1 in 4 of a batch give credit to the operators that made them."""


@dataclass(frozen=True, slots=True)
class EvolutionOptions:
    """Knobs of the search.

    Attributes:
        population: Candidates kept per round, over all sketches.
        generations: Generations per round; fewer where several sketches take part.
        elites: Measured candidates of a sketch that enter its population.
        operators: Which of :data:`~tuner.search.operators.OPERATORS` make children.
        batch: What a batch is made of.
    """

    population: int = 1024
    generations: int = 4
    elites: int = 48
    operators: tuple[str, ...] = tuple(OPERATORS)
    batch: BatchOptions = field(default_factory=BatchOptions)


def search_options(disable: Collection[str]) -> EvolutionOptions:
    """Return the options of a search that goes without some parts (:data:`tuner.options.ABLATIONS`)."""
    operators = tuple(n for n in OPERATORS if n not in disable)
    batch = BatchOptions(descent=0.0) if "descent" in disable else BatchOptions()
    return EvolutionOptions(operators=operators, batch=batch)


@dataclass(slots=True)
class _Measured:
    """What is known of one sketch: decisions, their keys and seconds (``nan`` for failures)."""

    rows: list[Rows] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def fastest(self, count: int) -> Rows:
        """Return the decisions of the fastest candidates, fastest first."""
        order = np.argsort(self.seconds, kind="stable")[:count]
        return np.array([self.rows[i] for i in order if not np.isnan(self.seconds[i])], np.int32)

    @property
    def best(self) -> float:
        """Least seconds; ``nan`` if nothing worked."""
        return float(np.fmin.reduce(self.seconds)) if self.seconds else float("nan")


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
        self._measured = {name: _Measured() for name in self._sketches}
        self._suggested: dict[str, Rows] = {}
        self._bandit = Bandit(self._options.operators)
        self._proposed: dict[tuple[str, int], str] = {}
        self._history: list[float] = []

    def suggest(self, sketch: str, rows: NDArray[np.int32]) -> None:
        """Take candidates that did well elsewhere (another task, another machine) as first parents.

        Args:
            sketch: Name of the sketch; unknown names are ignored.
            rows: [N, S] decisions; invalid ones are ignored.
        """
        if sketch not in self._sketches or not len(rows):
            return
        rows = np.asarray(rows, dtype=np.int32)
        rows = rows[self._sketches[sketch].valid(rows)]
        known = self._suggested.get(sketch, rows[:0])
        self._suggested[sketch] = np.concatenate([known, rows])

    def observe(
        self,
        sketch: str,
        rows: NDArray[np.int32],
        seconds: Sequence[float | None],
        facts: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """See :class:`tuner.search.base.SearchStrategy`."""
        if sketch not in self._sketches or not len(rows):
            return
        rows = np.asarray(rows, dtype=np.int32)
        values = np.array([np.nan if s is None else s for s in seconds], dtype=np.float64)
        known = self._measured[sketch]
        keys = self._sketches[sketch].space.keys(rows).tolist()
        known.rows.extend(rows)
        known.keys.extend(keys)
        known.seconds.extend(values.tolist())
        for value in values:
            self._history.append(float(np.fmin(value, self._history[-1] if self._history else np.nan)))
        limit = self._fast_limit()
        for key, value in zip(keys, values, strict=True):
            origin = self._proposed.pop((sketch, key), None)
            if origin is not None:
                self._bandit.saw_measurement(origin, bool(value <= limit))
        self._scorer.learn(self._sketches[sketch], rows, values, facts)

    def propose(self, count: int) -> list[Proposal]:
        """See :class:`tuner.search.base.SearchStrategy`."""
        best = self._history[-1] if self._history else float("nan")
        standings = {name: Standing(m.best, len(m.rows)) for name, m in self._measured.items()}
        sizes = divide(standings, self._options.population, self._rng)
        seeds = {name: self._seed(name, size) for name, size in sizes.items()}
        pools = {
            name: self._evolve(name, pool, sizes[name], generations)
            for name, pool, generations in self._turns(seeds, is_blind=not self._history)
        }
        wanted = self._options.batch.neighbours(count, self.is_stalled)
        near = {name: pool for name in sizes if (pool := self._neighbours(name, best, wanted)) is not None}
        if sum(len(pool.rows) for pool in (*pools.values(), *near.values())) < count:
            # The sketches of this round are nearly exhausted, others may not be.
            others = {n: self._seed(n, LEAST_POPULATION) for n in self._sketches if n not in sizes}
            seeds |= others
            pools |= {name: self._unmeasured(name, pool) for name, pool in others.items()}
        random = self._random(seeds, max(1, round(count * self._options.batch.explore)))
        suggested = {name: self._transfer(name) for name in self._suggested}
        proposals = choose(
            pools, near, random, suggested, owed(standings), count, self._options.batch, self.is_stalled
        )
        self._proposed = {
            (p.sketch, int(self._sketches[p.sketch].space.keys(p.row[None])[0])): p.origin for p in proposals
        }
        return proposals

    @property
    def is_stalled(self) -> bool:
        """Whether the last measurements brought next to nothing."""
        if len(self._history) <= _STALL_TRIALS:
            return False
        before, now = self._history[-1 - _STALL_TRIALS], self._history[-1]
        return bool(now > (1.0 - _STALL_GAIN) * before)

    def _fast_limit(self) -> float:
        seconds = [s for m in self._measured.values() for s in m.seconds[-64:] if not np.isnan(s)]
        return float(np.quantile(seconds, 1.0 / _FAST_PART)) if seconds else float("inf")

    def _seed(self, name: str, size: int) -> Pool:
        """Return the first generation: measured elites, what did well elsewhere, and fresh samples."""
        sketch = self._sketches[name]
        sampled = sketch.sample(self._rng, size)
        elites = self._measured[name].fastest(self._options.elites).reshape(-1, sampled.shape[1])
        suggested = self._suggested.get(name, sampled[:0])
        rows = np.concatenate([elites, suggested, sampled])
        origin = np.full(len(rows), "sample", dtype="U10")
        rows, origin = self._fresh(sketch, rows, origin, None)
        return self._scored(sketch, rows, origin)

    def _turns(self, seeds: Mapping[str, Pool], is_blind: bool) -> list[tuple[str, Pool, int]]:
        """Return for how many generations every sketch evolves."""
        least = {name: float(pool.seconds.min(initial=np.inf)) for name, pool in seeds.items()}
        ahead = sorted(seeds, key=lambda name: least[name])[:_EVOLVED] if is_blind else list(seeds)
        most = max(1, min(self._options.generations, _CALLS // len(ahead) - 1))
        return [(name, pool, most if name in ahead else 1) for name, pool in seeds.items()]

    def _evolve(self, name: str, pool: Pool, size: int, generations: int) -> Pool:
        sketch = self._sketches[name]
        for _ in range(generations if len(pool.rows) else 0):
            rows, origin = self._children(sketch, pool, size)
            made = self._count(origin)
            rows, origin = self._fresh(sketch, rows, origin, pool)
            joined = pool.joined(self._scored(sketch, rows, origin))
            is_child = np.arange(len(joined.rows)) >= len(pool.rows)
            keep = np.argsort(joined.seconds, kind="stable")[:size]
            self._bandit.saw_children(made, self._count(joined.origin[keep[is_child[keep]]]))
            pool = joined.taken(keep)
        return self._unmeasured(name, pool)

    def _scored(self, sketch: Sketch, rows: Rows, origin: NDArray[np.str_]) -> Pool:
        prediction = self._scorer.predict(sketch, rows)
        return Pool(rows, prediction.seconds, origin, prediction.spread)

    def _count(self, origin: NDArray[np.str_]) -> NDArray[np.float64]:
        return np.array([float((origin == name).sum()) for name in self._bandit.names])

    def _children(self, sketch: Sketch, pool: Pool, count: int) -> tuple[Rows, NDArray[np.str_]]:
        """Make children of parents drawn by rank."""
        rank = np.argsort(np.argsort(pool.seconds, kind="stable"))
        weights = np.exp(-4.0 * rank / max(1, len(rank)))
        weights /= weights.sum()
        rows: list[Rows] = []
        origin: list[str] = []
        for name, number in zip(
            self._bandit.names, self._rng.multinomial(count, self._bandit.shares), strict=True
        ):
            mothers = pool.rows[self._rng.choice(len(pool.rows), size=number, p=weights)]
            fathers = pool.rows[self._rng.choice(len(pool.rows), size=number, p=weights)]
            children = OPERATORS[name](sketch.space, self._rng, mothers, fathers)
            rows.append(children)
            origin += [name] * len(children)
        made = np.concatenate(rows)
        valid = sketch.valid(made)
        return made[valid], np.array(origin, dtype="U10")[valid]

    def _fresh(
        self, sketch: Sketch, rows: Rows, origin: NDArray[np.str_], pool: Pool | None
    ) -> tuple[Rows, NDArray[np.str_]]:
        """Return the rows that are new, each once, in random order (equal scores favour none)."""
        keys, first = np.unique(sketch.space.keys(rows), return_index=True)
        if pool is not None:
            first = first[~np.isin(keys, sketch.space.keys(pool.rows))]
        first = self._rng.permutation(first)
        return rows[first], origin[first]

    def _unmeasured(self, name: str, pool: Pool, considered: int = _CONSIDERED) -> Pool:
        keys = self._sketches[name].space.keys(pool.rows)
        left = pool.taken(np.flatnonzero(~np.isin(keys, np.array(self._measured[name].keys, np.uint64))))
        return left.taken(np.argsort(left.seconds, kind="stable")[:considered])

    def _random(self, seeds: Mapping[str, Pool], count: int) -> dict[str, Pool]:
        """Draw unmeasured candidates at random from first generations: they are scored already."""
        names = list(seeds)
        found: dict[str, Pool] = {}
        for name in dict.fromkeys(names[i] for i in self._rng.integers(len(names), size=count)):
            left = self._unmeasured(name, seeds[name], considered=len(seeds[name].rows))
            drawn = left.taken(self._rng.permutation(len(left.rows))[:count])
            drawn.origin[:] = "random"
            found[name] = drawn
        return found

    def _transfer(self, name: str) -> Pool:
        rows = self._suggested[name]
        origin = np.full(len(rows), "transfer", dtype="U10")
        return self._unmeasured(name, self._scored(self._sketches[name], rows, origin))

    def _neighbours(self, name: str, best: float, wanted: int) -> Pool | None:
        """Return the unmeasured neighbours of the incumbent, if this sketch holds it.

        Where fewer than ``wanted`` are left, those of the next best follow.
        """
        known = self._measured[name]
        if not self._options.batch.descent or not known.seconds or not known.best <= best:
            return None
        sketch = self._sketches[name]
        measured = np.array(known.keys, np.uint64)
        found = np.empty((0, len(sketch.space.slots)), np.int32)
        for row in known.fastest(_CENTRES):
            rows = sketch.space.neighbourhood(row)
            rows = rows[sketch.valid(rows)]
            keys = sketch.space.keys(rows)
            found = np.concatenate([found, rows[~np.isin(keys, measured)]])
            measured = np.concatenate([measured, keys])
            if len(found) >= max(1, wanted):
                break
        origin = np.full(len(found), "neighbour", dtype="U10")
        return self._scored(sketch, found, origin) if len(found) else None
