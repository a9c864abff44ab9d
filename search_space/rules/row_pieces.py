"""Passes over the pieces of a row run together, piece by piece.

before (one row; every pass goes over all of it)::

    for b, k: t[b] += x[b, k]
    for b, k: q[b] += (x[b, k] - t[b]/n)^2
    for b: T += t[b]
    for b: Q += ...

after (a piece is still in the first cache level when its second pass comes)::

    for b:
      for k: t[b] += x[b, k]
      for k: q[b] += (x[b, k] - t[b]/n)^2
    for b: T += t[b]
    for b: Q += ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.access import BlockInfo
from search_space.tvm_api import Schedule, block_realize, walk


def piecewise(chain: Sequence[BlockInfo], rows: int) -> tuple[BlockInfo, ...]:
    """Find the blocks of a chain whose passes can run together, piece by piece.

    They share one axis after the rows, and need of the chain what was made of the same piece only.

    Args:
        chain: Blocks in program order; the last one is never taken.
        rows: How many leading axes of every block are row axes.

    Returns:
        The blocks in program order; none where fewer than two of them are reductions.
    """
    members: list[BlockInfo] = []
    extent = 0
    for block in chain[:-1]:
        if not extent and not block.is_reduction:
            continue
        needed = [p for p in block.producers if any(p == other.name for other in chain)]
        known = all(any(p == m.name for m in members) for p in needed)
        if not known or not _has_pieces(block, rows, extent, members):
            continue
        extent = block.axes[rows].extent
        members.append(block)
    return tuple(members) if sum(m.is_reduction for m in members) > 1 else ()


def _has_pieces(block: BlockInfo, rows: int, extent: int, members: Sequence[BlockInfo]) -> bool:
    if rows not in block.spatial or block.axes[rows].extent == 1:
        return False
    made = {use.name for member in members for use in member.writes}
    passed = [u for u in (*block.writes, *block.reads) if u.is_write or u.name in made]
    along = all(len(u.single) > rows and u.single[rows] == rows for u in passed)
    return along and (not extent or block.axes[rows].extent == extent)


def run_together(sch: Schedule, passes: Sequence[Any], axis: int, above: int) -> None:
    """Put passes below the piece loop of the first one.

    Args:
        sch: The schedule.
        passes: Blocks in program order, below the same loops.
        axis: Position of the piece iterator in the first block.
        above: Number of loops above their own.
    """
    first = list(sch.get_loops(passes[0]))[above:]
    value = block_realize(sch, passes[0]).iter_values[axis]
    piece = next(loop for loop in first if _is_used(sch.get(loop).loop_var, value))
    sch.reorder(piece, *(loop for loop in first if not loop.same_as(piece)))
    for later in passes[1:]:
        sch.reverse_compute_at(later, piece, preserve_unit_loops=True)


def _is_used(variable: Any, value: Any) -> bool:
    found: list[bool] = []
    walk(value, lambda node: found.append(True) if node.same_as(variable) else None)
    return bool(found)
