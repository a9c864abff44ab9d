"""Intrinsics that fill vectors: ``C[i] += A[k] * B[i, k]``, with lanes i and a group of terms k."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.mapping import Mapping
from search_space.tensorize.pattern import Iterator


@dataclass(frozen=True, slots=True)
class VectorShape:
    """Positions in the pattern of an intrinsic.

    Attributes:
        lanes: Of the spatial iterator.
        group: Of the reduction iterator.
        shared: Of the operand that all lanes read.
        own: Of the operand with elements for each lane.
    """

    lanes: int
    group: int
    shared: int
    own: int


def vector_shape(intrinsic: Intrinsic) -> VectorShape | None:
    """Return where lanes and group of an intrinsic are; None for one of another shape."""
    pattern = intrinsic.pattern
    kinds = [i.is_reduction for i in pattern.iterators]
    if sorted(kinds) != [False, True] or len(pattern.operands) != 2:
        return None
    lanes, group = kinds.index(False), kinds.index(True)
    has_lanes = [o.contains(pattern.iterators[lanes].var) for o in pattern.operands]
    if sorted(has_lanes) != [False, True]:
        return None
    return VectorShape(lanes, group, has_lanes.index(False), has_lanes.index(True))


def group_iterator(mapping: Mapping) -> Iterator | None:
    """Choose the reduction iterator along which a vector intrinsic takes groups.

    It must index one dimension of each operand on its own; best is one along which the shared operand
    lies together in memory, else the longest.
    """
    shape = vector_shape(mapping.intrinsic)
    if shape is None:
        return None
    shared, own = mapping.operand(shape.shared), mapping.operand(shape.own)
    usable = [
        i for i in mapping.groups[shape.group] if shared.dimension(i.var) >= 0 and own.dimension(i.var) >= 0
    ]
    last = len(shared.indices) - 1
    return max(usable, key=lambda i: (shared.dimension(i.var) == last, i.extent), default=None)
