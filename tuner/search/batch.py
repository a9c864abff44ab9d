"""What is measured next: the promising, the doubtful, the neighbours of the incumbent, a few at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.search.base import Proposal
from tuner.search.scorer import Rows, Seconds


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Shares of a batch; what is left goes to the best predicted.

    Attributes:
        explore: Part drawn at random (Ansor's eps-greedy).
        doubtful: Part with the best optimistic prediction once improvement has slowed: ``log2(seconds) -
            spread`` (a lower confidence bound, Srinivas et al., ICML'10).
        descent: Part taken from the neighbourhood of the incumbent.
        stalled_descent: The same once improvement has slowed (coordinate descent as in DPAnsor).
        diversity: What similarity to the rest of the batch costs a candidate, in units of the model's doubt.
    """

    explore: float = 0.06
    doubtful: float = 0.15
    descent: float = 0.2
    stalled_descent: float = 0.5
    diversity: float = 0.5

    def neighbours(self, count: int, is_stalled: bool) -> int:
        """Return how many candidates of a batch come from the neighbourhood of the incumbent."""
        return round((self.stalled_descent if is_stalled and self.descent else self.descent) * count)


@dataclass(slots=True)
class Pool:
    """Scored candidates of one sketch.

    Attributes:
        rows: [N, S] decisions.
        seconds: [N] predicted.
        origin: [N] the operator that made each.
        spread: [N] doubt of the prediction in powers of two.
    """

    rows: Rows
    seconds: Seconds
    origin: NDArray[np.str_]
    spread: Seconds

    def taken(self, places: NDArray[np.intp]) -> Pool:
        """Return some of the candidates."""
        return Pool(self.rows[places], self.seconds[places], self.origin[places], self.spread[places])

    def proposal(self, sketch: str, place: int) -> Proposal:
        """Return one of the candidates as a proposal."""
        return Proposal(sketch, self.rows[place], float(self.seconds[place]), str(self.origin[place]))

    def joined(self, other: Pool) -> Pool:
        """Return the candidates of both."""
        return Pool(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.seconds, other.seconds]),
            np.concatenate([self.origin, other.origin]),
            np.concatenate([self.spread, other.spread]),
        )


class _Batch:
    """Candidates chosen so far."""

    def __init__(self, count: int) -> None:
        self.chosen: dict[tuple[str, bytes], Proposal] = {}
        self._count = count

    def take(self, candidates: Iterable[Proposal], wanted: int) -> None:
        """Add up to ``wanted`` candidates, the first ones."""
        for proposal in candidates:
            if len(self.chosen) >= self._count or wanted <= 0:
                return
            if proposal.key not in self.chosen:
                self.chosen[proposal.key] = proposal
                wanted -= 1

    def take_diverse(self, pools: Mapping[str, Pool], wanted: int, optimism: float, diversity: float) -> None:
        """Add up to ``wanted`` candidates one by one: well predicted, and unlike those of the batch.

        What is alike errs alike. So what a candidate shares with the most similar one of the batch (the part
        of equal decisions) costs it that part of the model's doubt: what is doubted much is spread widely.
        """
        names = [name for name, pool in pools.items() if len(pool.rows)]
        values = {n: np.log2(pools[n].seconds) - optimism * pools[n].spread for n in names}
        alike = {n: np.zeros(len(pools[n].rows)) for n in names}
        for proposal in self.chosen.values():
            if proposal.sketch in alike:
                _mark(alike[proposal.sketch], pools[proposal.sketch].rows, proposal.row)
        for _ in range(min(wanted, self._count - len(self.chosen))):
            best: tuple[float, str, int] | None = None
            for name in names:
                shared = np.minimum(alike[name], 1.0) * diversity * pools[name].spread
                costs = np.where(alike[name] > 1.0, np.inf, values[name] + shared)
                place = int(np.argmin(costs))
                if best is None or costs[place] < best[0]:
                    best = (float(costs[place]), name, place)
            if best is None or np.isinf(best[0]):
                return
            _, name, place = best
            proposal = pools[name].proposal(name, place)
            self.chosen[proposal.key] = proposal
            _mark(alike[name], pools[name].rows, proposal.row)


def _mark(alike: Seconds, rows: Rows, row: Rows) -> None:
    """Raise [N] similarities, 0 to 1, by one more row of the batch; the row itself gets 2."""
    free = (rows != rows[:1]).any(axis=0)
    equal = (rows[:, free] == row[free]).mean(axis=1) if free.any() else np.ones(len(rows))
    np.maximum(alike, np.where((rows == row).all(axis=1), 2.0, equal), out=alike)


def choose(
    pools: Mapping[str, Pool],
    near: Mapping[str, Pool],
    random: Mapping[str, Pool],
    suggested: Mapping[str, Pool],
    owed: Sequence[str],
    count: int,
    options: BatchOptions,
    is_stalled: bool,
) -> list[Proposal]:
    """Choose a batch.

    Args:
        pools: Unmeasured candidates by sketch, with their spread.
        near: Unmeasured neighbours of the incumbent; empty before anything was measured.
        random: Unmeasured candidates drawn at random.
        suggested: Unmeasured candidates that did well elsewhere; up to a quarter of the batch.
        owed: Sketches that get their best predicted candidate measured, up to a quarter of the batch.
        count: Size of the batch.
        options: Shares.
        is_stalled: Whether improvement has slowed.

    Returns:
        Distinct candidates, best predicted first; fewer than ``count`` only when there are no more.
    """
    ranked, neighbours, drawn = _ranked(pools), _ranked(near), _ranked(random)
    batch = _Batch(count)
    firsts = {p.sketch: p for p in reversed(ranked)}
    quarter = -(-count // 4)
    if not near:
        # Nothing is known of this task: look at the best of every sketch, the most promising sketches first,
        # and leave a quarter for what did well elsewhere.
        batch.take(sorted(firsts.values(), key=lambda p: p.predicted_seconds), count - count // 4)
    batch.take([firsts[name] for name in owed[:quarter] if name in firsts], quarter)
    batch.take(_ranked(suggested), quarter)
    batch.take(neighbours, options.neighbours(count, is_stalled))
    explore = min(len(drawn), round(options.explore * count + 0.49)) if count > 2 else 0
    doubtful = round(options.doubtful * count) if is_stalled else 0
    wanted = count - len(batch.chosen) - explore - doubtful
    batch.take_diverse(pools, wanted, 0.0, options.diversity)
    batch.take_diverse(pools, doubtful, 1.0, options.diversity)
    batch.take(drawn, explore)
    for rest in (ranked, neighbours, drawn):
        batch.take(rest, count)
    return sorted(batch.chosen.values(), key=lambda p: p.predicted_seconds)


def _ranked(pools: Mapping[str, Pool]) -> list[Proposal]:
    found = [pool.proposal(name, place) for name, pool in pools.items() for place in range(len(pool.rows))]
    return sorted(found, key=lambda p: p.predicted_seconds)
