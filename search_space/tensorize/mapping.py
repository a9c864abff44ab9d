"""Which iterators of a block an intrinsic's iterators stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.pattern import Iterator, Operand, Pattern, alignments


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A block's iterators by the intrinsic's iterators.

    Attributes:
        intrinsic: The intrinsic.
        pattern: The block.
        operands: For each operand of the intrinsic, the position of the block's operand.
        groups: For each iterator of the intrinsic, the block's iterators with the same characteristic
            vector, in binding order: fused, they are what the intrinsic's iterator runs over.
    """

    intrinsic: Intrinsic
    pattern: Pattern
    operands: tuple[int, ...]
    groups: tuple[tuple[Iterator, ...], ...]

    @property
    def outer(self) -> tuple[Iterator, ...]:
        """The block's iterators that no iterator of the intrinsic stands for: loops around it."""
        inside = [i for group in self.groups for i in group]
        return tuple(i for i in self.pattern.iterators if not any(i is other for other in inside))

    def operand(self, position: int) -> Operand:
        """Return the block's operand that stands for an operand of the intrinsic."""
        return self.pattern.operands[self.operands[position]]


def matches(intrinsic: Intrinsic, pattern: Pattern) -> list[Mapping]:
    """Map a block's iterators onto an intrinsic's by their characteristic vectors.

    Args:
        intrinsic: The intrinsic.
        pattern: The block.

    Returns:
        One mapping for every way in which the operands correspond (two where both factors have the same
        type and form); nothing where the computation, an element type or the access pattern differs.
    """
    if intrinsic.pattern.result.dtype != pattern.result.dtype:
        return []
    found: list[Mapping] = []
    for order in alignments(intrinsic.pattern.value, pattern.value):
        groups = _groups(intrinsic.pattern, pattern, order)
        if all(groups):
            found.append(Mapping(intrinsic, pattern, order, groups))
    return found


def _groups(wanted: Pattern, pattern: Pattern, order: Sequence[int]) -> tuple[tuple[Iterator, ...], ...]:
    return tuple(
        tuple(
            candidate
            for candidate in pattern.iterators
            if candidate.is_reduction == own.is_reduction
            and pattern.vector(candidate, order) == wanted.vector(own)
        )
        for own in wanted.iterators
    )
