"""Carries decisions from one workload to another whose sketch has the same structure.

The inner parts of a tile vector (registers, vectors, blocks of a near cache) suit the machine and stay as
near as the new extent's divisors allow; the outermost part takes what is left::

    28 = (7, 1, 2, 2)  ->  56 = (14, 1, 2, 2)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search_space.decisions import DecisionSpace, Slot
from search_space.sketch import Sketch

_OUTERMOST = 0.1
"""Weight of the outermost part, beside 1 for each of the others."""


def is_alike(source: DecisionSpace, target: DecisionSpace) -> bool:
    """Report whether two spaces have the same kinds of slots in the same order."""
    return len(source.slots) == len(target.slots) and all(
        a.table.shape[1] == b.table.shape[1] for a, b in zip(source.slots, target.slots, strict=True)
    )


def carry(source: DecisionSpace, row: NDArray[np.int32], target: Sketch) -> NDArray[np.int32] | None:
    """Translate one row.

    Args:
        source: The space that the row belongs to.
        row: [S] decisions.
        target: The sketch that gets decisions; its space must be alike.

    Returns:
        [S] valid decisions, each slot as near to the source as its table allows; ``None`` if neither that row
        nor a small move from it is valid.
    """
    slots = zip(source.slots, row, target.space.slots, strict=True)
    found = np.array([nearest(a.table[int(value)], b) for a, value, b in slots], dtype=np.int32)
    candidates = np.concatenate([found[None, :], target.space.neighbourhood(found)])
    valid = np.flatnonzero(target.valid(candidates))
    return candidates[valid[0]] if len(valid) else None


def nearest(values: NDArray[np.int64], slot: Slot) -> int:
    """Return the index of a slot's value that is nearest: by ratio for tiles, by difference for choices."""
    if slot.table.shape[1] == 1:
        return int(np.argmin(np.abs(slot.table[:, 0] - values[0])))
    away = np.abs(np.log2(slot.table) - np.log2(values)[None, :])
    away[:, 0] *= _OUTERMOST
    return int(np.argmin(away.sum(axis=1)))
