"""Write-back of the register tile, with the element-wise consumer fused into it.

before::

    C[i, j] += A[i, k] * B[k, j]
    D[i, j] = max(C[i, j] + bias[j], 0)

after::

    ... C.local[tile] += ...
    for tile: D[i, j] = max(C.local[...] + bias[j], 0)      # vectorised
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot
from search_space.nest import Access, Floats, LoopNest, Table, flags
from search_space.rules.streaming import mark_streamed, stream_slots, streamed
from search_space.steps import Memory, PlainStep
from search_space.tiling import Tiling
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class CacheWriteStep(PlainStep):
    """Accumulate in a local buffer and copy it out (Ansor rule 5)."""

    tiling: Tiling

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Create the copy-out block.

        Where an output dimension is walked by several iterators (phases, groups, fused rows) the
        local buffer is indexed by the iterators themselves, so that every tile of it is a box.
        """
        block = sch.get_sblock(self.tiling.block.name)
        if self.tiling.block.writes[0].is_plain:
            copy = sch.cache_write(block, 0, "global")
        else:
            copy = sch.reindex(block, ("write", 0))
        memory.blocks[f"{self.tiling.block.name}.epilogue"] = copy


@dataclass(frozen=True, slots=True, eq=False)
class FuseConsumerStep(PlainStep):
    """Take the only element-wise consumer as the copy-out (Ansor rule 4)."""

    tiling: Tiling
    consumer: BlockInfo

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Name the consumer as the block that ends every tile."""
        memory.blocks[f"{self.tiling.block.name}.epilogue"] = sch.get_sblock(self.consumer.name)


@dataclass(frozen=True, slots=True, eq=False)
class AttachEpilogueStep(PlainStep):
    """Attach the copy-out below the tile and vectorise it."""

    tiling: Tiling
    consumer: BlockInfo | None

    @property
    def _writer(self) -> BlockInfo:
        return self.consumer or self.tiling.block

    def slots(self) -> tuple[Slot, ...]:
        """Own how a large result is stored."""
        return stream_slots(self._writer, self.tiling.hardware)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Compute the epilogue after S2, or after S1 where the reduction is blocked."""
        tiling = self.tiling
        levels = memory.loops[tiling.block.name]
        blocked = float(tiling.reduction_blocks(columns)[0]) > 1
        at = levels["S1" if blocked else "S2"][-1]
        block = memory.blocks[f"{tiling.block.name}.epilogue"]
        if streamed(self._writer, tiling.hardware, columns)[0]:
            mark_streamed(sch, levels["S1"][0])
        before = len(sch.get_loops(sch.get_sblock(tiling.block.name))[: _depth(sch, tiling, at)])
        sch.reverse_compute_at(block, at, preserve_unit_loops=True)
        inner = list(sch.get_loops(block))[before:]
        vector_annotate(
            sch, inner, tiling.hardware.lanes(tiling.block.writes[0].element_bytes), unroll=not blocked
        )

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the copy-out of one tile and how often it runs."""
        tiling = self.tiling
        tiles = tiling.levels(columns)
        blocked = tiling.reduction_blocks(columns) > 1
        spatial = tiling.spatial
        size, depth = columns.size, len(spatial) + 1
        whole: Floats = np.ones(size, np.float32)
        extents = np.ones((depth, size), np.float32)
        workers: Floats = np.ones(size, np.float32)
        for position, i in enumerate(spatial):
            inner = tiles[i][:, 3] * np.where(blocked, tiles[i][:, 2], np.float32(1))
            extents[position] = inner
            if i == tiling.vector:
                extents[-1] = tiles[i][:, 4]
                inner = inner * tiles[i][:, 4]
            whole = whole * (tiling.axes[i].extent / inner)
            workers = workers * tiles[i][:, 0]
        block = self.consumer
        uses = tiling.block.writes if block is None else (*block.writes, *block.reads)
        accesses = []
        for use in uses:
            table = Table(len(use.shape), depth, size)
            for position, i in enumerate(spatial):
                axis = tiling.axes[i]
                source = use.group_coefficients if axis.outer_group else use.coefficients
                column = axis.iterator if block is None else _matching_iterator(tiling, block, i)
                if column >= source.shape[1]:
                    continue
                for d in np.flatnonzero(source[:, column]).tolist():
                    step = float(source[d, column])
                    table.put(d, position, step * tiles[i][:, 4] if i == tiling.vector else step)
                    if i == tiling.vector:
                        table.put(d, depth - 1, step)
            shape = np.array([use.shape], dtype=np.float32)
            local = use.name == tiling.block.writes[0].name and block is not None
            accesses.append(
                Access(
                    use.name,
                    use.element_bytes,
                    use.is_write,
                    local,
                    shape,
                    table.coefficients,
                    used=table.used,
                )
            )
        return (
            LoopNest(
                stage="epilogue",
                extents=extents.T,
                kinds=np.zeros(depth, dtype=np.int8),
                parallel=flags(size, depth),
                unrolled=flags(size, depth),
                vectorised=flags(size, depth, depth - 1),
                accesses=tuple(accesses),
                flops=0.0 if block is None else block.flops,
                transcendentals=0.0 if block is None else block.transcendentals,
                executions=whole,
                workers=workers,
                predicated=np.zeros(size, np.float32),
            ),
        )


def _depth(sch: Schedule, tiling: Tiling, at: object) -> int:
    loops = list(sch.get_loops(sch.get_sblock(tiling.block.name)))
    wanted = sch.get_sref(at)
    for depth, loop in enumerate(loops, start=1):
        if sch.get_sref(loop).same_as(wanted):
            return depth
    raise ValueError(f"block {tiling.block.name} is not below the loop that its epilogue attaches to")


def _matching_iterator(tiling: Tiling, consumer: BlockInfo, axis: int) -> int:
    """Find the consumer's iterator that walks an axis of the producer's output."""
    produced = tiling.block.writes[0]
    read = next((u for u in consumer.reads if u.name == produced.name), None)
    if read is None:
        return 0
    for dimension, iterator in enumerate(produced.single):
        if iterator == tiling.axes[axis].iterator and read.single[dimension] >= 0:
            return read.single[dimension]
    return len(consumer.axes)


def vector_annotate(sch: Schedule, loops: list[object], lanes: int, unroll: bool) -> None:
    """Vectorise the innermost loop by the widest width that divides it; unroll the rest if short."""
    if not loops:
        return
    extent = int(sch.get(loops[-1]).extent)
    width = lanes
    while width > 1 and extent % width:
        width //= 2
    outer = list(loops[:-1])
    if width > 1:
        if extent > width:
            high, low = sch.split(loops[-1], [None, width])
            outer.append(high)
            sch.vectorize(low)
        else:
            sch.vectorize(loops[-1])
    if unroll:
        total = 1
        for loop in reversed(outer):
            total *= int(sch.get(loop).extent)
            if total > 64:
                break
            if int(sch.get(loop).extent) > 1:
                sch.unroll(loop)
