"""Places buffers in one block of memory so that those that are alive at the same time do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.artifact import ALIGNMENT_BYTES


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a buffer holds something.

    Attributes:
        size_bytes: Its size.
        first: The step that writes it.
        last: The last step that reads it; not before ``first``.
    """

    size_bytes: int
    first: int
    last: int


def aligned(size_bytes: int) -> int:
    """Round up to whole cache lines."""
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def place(buffers: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Give every buffer an offset: the largest first, each at the lowest place that is free all its life.

    The greedy-by-size method of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
    Inference" (2020).

    Args:
        buffers: What is to be placed.

    Returns:
        Offsets in bytes in the order of ``buffers``, on cache lines, and the bytes of the whole block.
    """
    offsets = [0] * len(buffers)
    placed: list[int] = []
    total = 0
    for index in sorted(range(len(buffers)), key=lambda i: -buffers[i].size_bytes):
        buffer = buffers[index]
        beside = [i for i in placed if buffers[i].first <= buffer.last and buffer.first <= buffers[i].last]
        start = 0
        for other in sorted(beside, key=lambda i: offsets[i]):
            if start + buffer.size_bytes <= offsets[other]:
                break
            start = max(start, offsets[other] + aligned(buffers[other].size_bytes))
        offsets[index] = start
        placed.append(index)
        total = max(total, start + aligned(buffer.size_bytes))
    return offsets, total
