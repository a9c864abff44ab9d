"""Which operands of a reduction may be copied into panels."""

from __future__ import annotations

from math import prod

from search_space.access import BlockInfo, BufferUse

MAX_PANEL_GROWTH = 1.6
"""How much larger the panels of an operand may be than the operand: overlapping tiles repeat some of
it, windows would repeat it once a tap."""


def is_packable(block: BlockInfo, use: BufferUse) -> bool:
    """Report whether an operand may be packed: tiles share it, and few elements would be copied twice."""
    spatial = {i for i in block.spatial if block.axes[i].extent > 1}
    if use.position < 0 or prod(use.shape) == 1 or not use.axes & spatial or not spatial - use.axes:
        return False
    if is_plain_operand(block, use):
        return True
    copied = prod(block.axes[a].extent for a in use.axes)
    whole = all(block.axes[a].group == 1 for a in use.axes)
    return use.affine and whole and copied <= MAX_PANEL_GROWTH * prod(use.shape)


def is_plain_operand(block: BlockInfo, use: BufferUse) -> bool:
    """Report whether each dimension of an operand is walked whole by one iterator of its own."""
    walked = [s for s in use.single if s >= 0]
    whole = (
        block.axes[s].extent == e if s >= 0 else e == 1 for s, e in zip(use.single, use.shape, strict=True)
    )
    return all(whole) and len(set(walked)) == len(walked)
