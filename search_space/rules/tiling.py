"""Multi-level tiling with a register tile (Ansor section 4.1, rules 3 and 4: SSRSRS).

before::

    for i, j, k: C[i, j] += A[i, k] * B[k, j]

after::

    parallel i0*j0:                       # S0
      for i1, j1, k0, i2, j2:             # S1 R0 S2
        for k1: unrolled k2, i3, j3:      # R1 R2 S3
          vector jv: C.local[...] += A[...] * B[...]
        C[...] = C.local[...]             # after S2, or after S1 where the reduction is blocked
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_space.decisions import Columns, Slot
from search_space.nest import Bools, LoopKind, LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tile_nest import compute_nest
from search_space.tiling import TiledAxis, Tiling
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class TileStep(PlainStep):
    """Split, reorder and annotate the loops of one block, and cut its initialisation off."""

    tiling: Tiling

    def slots(self) -> tuple[Slot, ...]:
        """Own the tile, order and packing decisions."""
        return self.tiling.slots()

    def valid(self, columns: Columns) -> Bools:
        """Apply the register, unroll and stack limits."""
        return self.tiling.valid(columns)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the computation."""
        return (compute_nest(self.tiling, columns),)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Split and reorder; leave the loops of each level in ``memory``."""
        tiling = self.tiling
        block = sch.get_sblock(tiling.block.name)
        loops, group = _axis_loops(sch, tiling, block)
        parts = split_axes(sch, loops, [tiling.tile_name(i) for i in range(len(tiling.axes))], columns)
        swapped = int(columns.choice(tiling.order_name)[0]) == 1
        spatial, vector = list(tiling.spatial), tiling.vector
        first = [vector, *(i for i in spatial if i != vector)] if swapped and vector >= 0 else spatial
        others = [i for i in spatial if i != vector]
        levels = {
            "S0": [parts[i][0] for i in spatial],
            "S1": [parts[i][1] for i in first],
            "R0": [parts[i][0] for i in tiling.reduction],
            "S2": [parts[i][2] for i in spatial],
            "R1": [parts[i][1] for i in tiling.reduction],
            "R2": [parts[i][2] for i in tiling.reduction],
            "S3": [parts[i][3] for i in others] + ([parts[vector][3]] if vector >= 0 else []),
            "V": [parts[vector][4]] if vector >= 0 else [],
        }
        # An unblocked reduction starts below S2, so that its accumulators never leave registers.
        blocked = float(tiling.reduction_blocks(columns)[0]) > 1
        middle = ("R0", "S2") if blocked else ("S2", "R0")
        levels["G"] = group
        order = ("S0", "S1", *middle, "R1", "R2", "S3", "V", "G")
        sch.reorder(*(loop for name in order for loop in levels[name]))
        tasks = int(np.prod([columns.tile(tiling.tile_name(i))[0, 0] for i in spatial]))
        outer = sch.fuse(*levels["S0"]) if len(levels["S0"]) > 1 else levels["S0"][0]
        levels["S0"] = [outer]
        if tasks > 1:
            sch.parallel(outer)
        memory.loops[tiling.block.name] = levels


@dataclass(frozen=True, slots=True, eq=False)
class FinishTileStep(PlainStep):
    """Annotate the inner loops and decompose the reduction, after everything is attached."""

    tiling: Tiling

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Unroll R2 and S3, vectorise V, cut the initialisation off below the blocked reduction."""
        tiling = self.tiling
        levels = memory.loops[tiling.block.name]
        for loop in (*levels["R2"], *levels["S3"]):
            if int(sch.get(loop).extent) > 1:
                sch.unroll(loop)
        for loop in levels["V"]:
            if int(sch.get(loop).extent) > 1:
                sch.vectorize(loop)
        if tiling.block.is_reduction:
            sch.decompose_reduction(sch.get_sblock(tiling.block.name), levels["R0"][0])


def _axis_loops(sch: Schedule, tiling: Tiling, block: object) -> tuple[list[object], list[object]]:
    """Return one loop per axis, grouped iterators split in two, and the loop of an intrinsic's group."""
    plain = list(sch.get_loops(block))[-len(tiling.block.axes) :]  # inside the task that it is nested in
    group: list[object] = []
    if tiling.group > 1:
        plain[tiling.group_iterator], inner = sch.split(
            plain[tiling.group_iterator], [None, tiling.group], preserve_unit_iters=True
        )
        group.append(inner)
    return loops_of_axes(sch, tiling.axes, plain), group


def loops_of_axes(sch: Schedule, axes: Sequence[TiledAxis], loops: Sequence[Any]) -> list[Any]:
    """Return one loop an axis, splitting grouped iterators in two.

    Args:
        sch: The schedule.
        axes: Axes of a block.
        loops: One loop for each iterator of the block.
    """
    plain = list(loops)
    found: list[Any] = []
    for axis in axes:
        if axis.outer_group:
            outer, inner = sch.split(plain[axis.iterator], [axis.extent, None], preserve_unit_iters=True)
            plain[axis.iterator] = inner
            found.append(outer)
        else:
            found.append(plain[axis.iterator])
    return found


def split_axes(
    sch: Schedule, loops: Sequence[Any], names: Sequence[str], columns: Columns
) -> dict[int, list[Any]]:
    """Split the loop of every axis as its slot says.

    Args:
        sch: The schedule.
        loops: One loop an axis.
        names: The tile slot of each axis.
        columns: One candidate.

    Returns:
        Position of the axis to its loops, outer to inner.
    """
    return {
        i: list(sch.split(loop, [int(f) for f in columns.tile(name)[0]], preserve_unit_iters=True))
        for i, (loop, name) in enumerate(zip(loops, names, strict=True))
    }


def is_tileable(tiling: Tiling) -> bool:
    """Report whether a block is worth a register tile: a reduction over spatial outputs."""
    return tiling.block.is_reduction and any(
        tiling.axes[i].kind == LoopKind.SPATIAL and tiling.axes[i].extent > 1 for i in tiling.spatial
    )
