"""Which sketches take part in a round, and with how large a population.

A call for few candidates costs nearly as much as one for hundreds, so few sketches take part in a round, each
with a population that is worth the call. Who they are follows the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LEAST_POPULATION = 128
"""A population of fewer costs as much time."""
SKETCHES = 3
"""Sketches that take part in a round once something was measured, besides those that are owed a try."""
TRIES = 3
"""Measured candidates after which a sketch is judged: the first of one, the best predicted, may take three
times as long as the second."""
PROMISING = 4.0
"""A sketch whose best is within this factor of the record is owed its tries."""
_NEAR, _PATIENCE = 2.0, 3.0
"""Within this factor it is owed more, by this power of how much nearer it is: 7 at one and a half times the
record, 12 at five quarters. A model that is wrong for a whole sketch learns it from measurements only."""
OWED = 4
"""Sketches that take part in a round because they are owed a try."""
_SHARPNESS = 4.0
"""How fast the chance to take part falls with the distance from the record."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was measured of a sketch.

    Attributes:
        best: Least seconds; ``nan`` if nothing worked.
        tried: Candidates measured, failures included.
    """

    best: float
    tried: int


def record_of(standings: Mapping[str, Standing]) -> float:
    """Return the least seconds of all sketches; ``nan`` before anything worked."""
    return float(np.fmin.reduce([s.best for s in standings.values()]))


def owed(standings: Mapping[str, Standing]) -> list[str]:
    """Return the sketches that were tried too little to be judged, those with the fewest tries first."""
    record = record_of(standings)
    found = [name for name, s in standings.items() if 0 < s.tried < _owed_tries(s.best / record)]
    return sorted(found, key=lambda name: (standings[name].tried, standings[name].best))


def _owed_tries(distance: float) -> float:
    """Return how many tries a sketch is owed whose best takes ``distance`` times as long as the record."""
    return TRIES * max(1.0, (_NEAR / distance) ** _PATIENCE) if distance <= PROMISING else 0.0


def divide(standings: Mapping[str, Standing], population: int, rng: np.random.Generator) -> dict[str, int]:
    """Divide a population.

    Args:
        standings: What was measured of each sketch.
        population: Candidates in all.
        rng: Source of randomness.

    Returns:
        Sizes by sketch: equal ones before anything worked; then the sketch with the record, those that
        are owed a try, and a few drawn with a chance that falls with their distance from the record.
    """
    record = record_of(standings)
    if np.isnan(record):
        return dict.fromkeys(standings, max(LEAST_POPULATION, population // len(standings)))
    names = list(standings)
    weights = np.array([_weight(standings[name], record) for name in names])
    # Drawing without replacement by weight (Efraimidis and Spirakis): the largest u ** (1 / w) win.
    keys = rng.random(len(names)) ** (1.0 / weights)
    leader = min(names, key=lambda name: np.nan_to_num(standings[name].best, nan=np.inf))
    chosen = {leader: 0, **dict.fromkeys(owed(standings)[:OWED], 0)}
    for place in np.argsort(-keys)[:SKETCHES]:
        if len(chosen) < SKETCHES:
            chosen.setdefault(names[place], 0)
    total = sum(weights[names.index(name)] for name in chosen)
    return {
        name: max(LEAST_POPULATION, int(population * weights[names.index(name)] / total)) for name in chosen
    }


def _weight(standing: Standing, record: float) -> float:
    if np.isnan(standing.best):
        return 0.4 if standing.tried < TRIES else 0.02
    return float(0.02 + (record / standing.best) ** _SHARPNESS)
