"""What is measured next: the promising, the doubtful, the neighbours of the incumbent, a few at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.search.base import Proposal
from tuner.search.scorer import Rows, Seconds

_TRUST = 2.0
"""How fast the share of a sketch in the first batch falls with its predicted time."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Shares of a batch; what is left goes to the best predicted.

    Attributes:
        explore: Part drawn at random (Ansor's eps-greedy).
        doubtful: Part with the best optimistic prediction once improvement has slowed: ``log2(seconds) -
            spread`` (a lower confidence bound, Srinivas et al., ICML'10).
        descent: Part taken from the neighbourhood of the incumbent.
        stalled_descent: The same once improvement has slowed (coordinate descent as in DPAnsor).
        crowd: At most this many candidates that differ in one decision only.
    """

    explore: float = 0.06
    doubtful: float = 0.15
    descent: float = 0.2
    stalled_descent: float = 0.5
    crowd: int = 2


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

    def __init__(self, count: int, crowd: int) -> None:
        self.chosen: dict[tuple[str, bytes], Proposal] = {}
        self._count, self._crowd = count, crowd

    def take(self, candidates: Iterable[Proposal], wanted: int, diverse: bool) -> None:
        """Add up to ``wanted`` candidates."""
        for proposal in candidates:
            if len(self.chosen) >= self._count or wanted <= 0:
                return
            if proposal.key in self.chosen or (diverse and self._is_crowded(proposal)):
                continue
            self.chosen[proposal.key] = proposal
            wanted -= 1

    def _is_crowded(self, proposal: Proposal) -> bool:
        rows = [p.row for p in self.chosen.values() if p.sketch == proposal.sketch]
        if len(rows) < self._crowd:
            return False
        return int(((np.array(rows) != proposal.row).sum(axis=1) <= 1).sum()) >= self._crowd


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
    ranked = _sorted(_proposals(pools, 0.0))
    neighbours = _sorted(_proposals(near, 0.0))
    drawn = _sorted(_proposals(random, 0.0))
    batch = _Batch(count, options.crowd)
    by_sketch = {
        name: [p for p in ranked if p.sketch == name] for name in dict.fromkeys(p.sketch for p in ranked)
    }
    quarter = -(-count // 4)
    if not near:
        # Nothing is known of this task: look at the best of every sketch, the most promising sketches first,
        # and leave a quarter for what did well elsewhere.
        for candidates in list(by_sketch.values())[: count - count // 4]:
            batch.take(candidates, 1, diverse=False)
    for name in owed[:quarter]:
        batch.take(by_sketch.get(name, ()), 1, diverse=False)
    batch.take(_sorted(_proposals(suggested, 0.0)), quarter, diverse=False)
    descent = options.stalled_descent if is_stalled and options.descent else options.descent
    batch.take(neighbours, round(descent * count), diverse=False)
    explore = min(len(drawn), round(options.explore * count + 0.49)) if count > 2 else 0
    doubtful = round(options.doubtful * count) if is_stalled else 0
    wanted = count - len(batch.chosen) - explore - doubtful
    if near:
        batch.take(ranked, wanted, diverse=True)
    else:
        _share_out(batch, by_sketch, wanted)
    batch.take(_sorted(_proposals(pools, 1.0)), doubtful, diverse=True)
    batch.take(drawn, explore, diverse=False)
    for rest in (ranked, neighbours, drawn):
        batch.take(rest, count, diverse=False)
    return sorted(batch.chosen.values(), key=lambda p: p.predicted_seconds)


def _share_out(batch: _Batch, by_sketch: Mapping[str, list[Proposal]], wanted: int) -> None:
    """Give sketches candidates in proportion to their promise (highest averages, as D'Hondt's).

    The model may well be off by a factor between sketches, within one it is surer.
    """
    least = min((found[0].predicted_seconds for found in by_sketch.values()), default=1.0)
    promise = {name: (least / found[0].predicted_seconds) ** _TRUST for name, found in by_sketch.items()}
    for _ in range(wanted):
        given = {name: sum(p.sketch == name for p in batch.chosen.values()) for name in promise}
        before = len(batch.chosen)
        for name in sorted(promise, key=lambda name: -promise[name] / (given[name] + 1)):
            batch.take(by_sketch[name], 1, diverse=True)
            if len(batch.chosen) > before:
                break


def _proposals(pools: Mapping[str, Pool], optimism: float) -> list[tuple[float, Proposal]]:
    found: list[tuple[float, Proposal]] = []
    for name, pool in pools.items():
        values = np.log2(pool.seconds) - optimism * pool.spread
        for row, seconds, origin, value in zip(pool.rows, pool.seconds, pool.origin, values, strict=True):
            found.append((float(value), Proposal(name, row, float(seconds), str(origin))))
    return found


def _sorted(valued: list[tuple[float, Proposal]]) -> list[Proposal]:
    return [proposal for _, proposal in sorted(valued, key=lambda item: item[0])]
