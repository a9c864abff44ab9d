"""Descriptions of parts of blocks: of one task, and of one block of a task's reduction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.nest import Floats, LoopNest


def shrunk(block: BlockInfo, extents: dict[int, int]) -> BlockInfo:
    """Describe a part of a block: with shorter iterators, and buffers as large as they then reach."""
    axes = tuple(replace(a, extent=extents.get(i, a.extent)) for i, a in enumerate(block.axes))

    def part(use: BufferUse) -> BufferUse:
        shape = list(use.shape)
        for d, row in enumerate(use.coefficients):
            if any(row[i] for i in extents):
                reach = 1 + sum(abs(float(c)) * (a.extent - 1) for c, a in zip(row, axes, strict=True))
                shape[d] = min(shape[d], int(reach))
        return replace(use, shape=tuple(shape))

    reads, writes = tuple(part(u) for u in block.reads), tuple(part(u) for u in block.writes)
    return replace(block, axes=axes, reads=reads, writes=writes)


def leading_part(block: BlockInfo, dimension: int, blocks: Floats) -> tuple[Floats, ...]:
    """Return how far the first axes of a block run that makes its result in parts.

    Args:
        block: The block.
        dimension: Of its result; or -1 for all of it at once.
        blocks: [N] parts of that dimension.

    Returns:
        [N] for each axis up to the one that walks the dimension.
    """
    if dimension < 0:
        return ()
    axis = block.writes[0].single[dimension]
    before = tuple(np.full(len(blocks), a.extent, np.float32) for a in block.axes[:axis])
    return (*before, np.float32(block.axes[axis].extent) / blocks)


def held_in_blocks(
    nest: LoopNest, buffer: BufferUse, dimension: int, blocks: Floats, loop: int = -1
) -> LoopNest:
    """Describe a nest whose buffer holds one block of a dimension at a time.

    Args:
        nest: A stage.
        buffer: What it reads or writes block by block.
        dimension: Of the buffer; or -1 where it is held as a whole.
        blocks: [N] parts of that dimension.
        loop: The loop over the blocks, if it is one of the nest: every iteration uses the buffer again.

    Returns:
        The nest.
    """
    if dimension < 0 or not (blocks > 1).any():
        return nest
    shape = np.tile(np.array(buffer.shape, np.float32), (len(blocks), 1))
    shape[:, dimension] /= blocks
    found = []
    for access in nest.accesses:
        if access.name == buffer.name:
            coefficients = np.array(access.coefficients)
            if loop >= 0:
                coefficients[:, dimension, loop] *= blocks == 1
            access = replace(access, shape=shape, coefficients=coefficients)
        found.append(access)
    return replace(nest, accesses=tuple(found))
