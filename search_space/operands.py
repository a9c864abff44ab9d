"""Which operands of a reduction may be copied into panels."""

from __future__ import annotations

from math import gcd, prod

from search_space.access import BlockInfo, BufferUse

MAX_PANEL_GROWTH = 1.6
"""How much larger the panels of an operand may be than the operand: overlapping tiles repeat some of
it, windows would repeat it once a tap."""

MAX_SETS_SHARED = 2
"""Rows in so few sets of the first cache level displace each other while a vector gathers from them."""
WAY_BYTES = 4096
"""Bytes after which the sets of the first cache level repeat: a page on x86, where pages index it."""


def rows_collide(block: BlockInfo, use: BufferUse) -> bool:
    """Report whether rows of an operand lie in few cache sets, and would not if they stood together.

    Args:
        block: The reduction; the rows run along it.
        use: The operand.
    """
    last = use.single[-1] if use.single else -1
    if last not in block.reduction or not is_plain_operand(block, use):
        return False

    def collide(stride: float) -> bool:
        return WAY_BYTES // gcd(int(stride), WAY_BYTES) <= MAX_SETS_SHARED

    together = block.axes[last].extent * use.element_bytes
    strides = [use.last_coefficient(i) * use.element_bytes for i in block.spatial if i in use.axes]
    return any(collide(stride) for stride in strides) and not collide(together)


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
