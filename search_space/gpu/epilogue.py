"""Write-back of the register tile, with the element-wise consumer fused into it.

before::

    C[i, j] += A[i, k] * B[k, j]
    D[i, j] = max(C[i, j] + bias[j], 0)

after::

    ... C.local[tile of the thread] += ...
    for tile of the thread: vector: D[i, j] = max(C.local[...] + bias[j], 0)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space.access import BlockInfo
from search_space.decisions import Columns
from search_space.gpu.tile_nest import write_back_nest
from search_space.gpu.tiling import GpuTiling
from search_space.nest import LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class RegisterTileStep(PlainStep):
    """Accumulate in registers (Ansor rule 5); the copy-out or the consumer becomes the epilogue."""

    tiling: GpuTiling
    consumer: BlockInfo | None

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Give the results the scope of registers and name the block that reads them."""
        name = self.tiling.block.name
        block = sch.get_sblock(name)
        if self.consumer is not None:
            sch.set_scope(block, 0, "local")
            epilogue = sch.get_sblock(self.consumer.name)
        elif self.tiling.block.writes[0].is_plain:
            epilogue = sch.cache_write(block, 0, "local")
        else:
            # Indexed by the iterators themselves, so that every tile of it is a box.
            epilogue = sch.reindex(block, ("write", 0))
            sch.set_scope(block, 0, "local")
        memory.blocks[f"{name}.epilogue"] = epilogue


@dataclass(frozen=True, slots=True, eq=False)
class WriteBackStep(PlainStep):
    """Attach the epilogue below the threads and vectorise it."""

    tiling: GpuTiling
    consumer: BlockInfo | None

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Compute the epilogue for the tile of each thread."""
        name = self.tiling.block.name
        epilogue = memory.blocks[f"{name}.epilogue"]
        sch.reverse_compute_at(epilogue, memory.loops[name]["S2"][0], preserve_unit_loops=True)
        width = int(write_width(self.tiling, self.consumer, columns)[0])
        if width > 1:
            _, lanes = sch.split(list(sch.get_loops(epilogue))[-1], [None, width])
            sch.vectorize(lanes)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the write-back."""
        width = write_width(self.tiling, self.consumer, columns).astype(np.float64)
        return (write_back_nest(self.tiling, self.consumer, width, columns),)


def write_width(tiling: GpuTiling, consumer: BlockInfo | None, columns: Columns) -> NDArray[np.int64]:
    """Return the elements of one store of the write-back: [N]."""
    width = np.ones(columns.size, dtype=np.int64)
    output = tiling.block.writes[0]
    last = tiling.block.spatial[-1]
    axis = next(
        i for i, a in enumerate(tiling.axes) if a.iterator == last and not a.outer_group
    )  # every iterator has one such axis
    if not output.shape or output.single[-1] != last:
        return width
    uses = (output,) if consumer is None else (*consumer.writes, *consumer.reads)
    if any(u.dtype == "bool" for u in uses):
        return width
    limit = tiling.hardware.fetch_bytes // max(u.element_bytes for u in uses)
    aligned = output.shape[-1] if consumer is None else min(u.vector for u in uses)
    tile = columns.tile(tiling.tile_name(axis))
    inner = tile[:, 3] * tile[:, 4]
    for candidate in (2, 4, 8, 16):
        if candidate <= limit and aligned % candidate == 0:
            width = np.where(inner % candidate == 0, candidate, width)
    return width
