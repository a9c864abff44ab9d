"""Stages of a transformed convolution run part by part: by rows of tiles, or by columns of the result.

before (``rewrites/winograd_tiles.py``)::

    for th, tw, q:            tiles[uv, th, tw, q] = ...
    for uv, th, tw, co, q:    product[uv, th, tw, co] += tiles[uv, th, tw, q] * kernel[uv, q, co]
    for th, tw, co:           out[4*th + i, 4*tw + j, co] = ...

after::

    parallel th:
      for tw, q:              tiles[uv, tw, q] = ...                      # of this row of tiles
      tiled uv, tw, co, q:    product[uv, tw, co] += tiles[uv, tw, q] * kernel[uv, q, co]
      for tw, co:             out[4*th + i, 4*tw + j, co] = ...

The intermediate results are several times the size of the image; of one row they fit in the second
cache level, and each thread keeps its own. A task has as many rows as a register tile needs; the kernel
is read again for every task, from wherever it lies: with W tiles in a task it feeds W / 2 operations a byte.

By columns (of many channels and few tiles) it is the kernel that stays: transformed, it is up to four
times as large as the weights, but what one task needs of it is made where it is used::

    tiles as a whole, then
    parallel co:
      for q, co1:             kernel[uv, q, co1] = ...                    # of these columns
      tiled uv, tw, co1, q:   product[uv, tw, co1] += tiles[uv, th, tw, q] * kernel[uv, q, co1]
      for th, tw, co1:        out[4*th + i, 4*tw + j, co] = ...

Where even that is too large, all products of a task add up block by block of the channels, and so much of
the kernel is made as one block needs; one buffer, small enough for a near cache, serves all blocks::

    parallel co:
      for q0:
        for q1, co1:          kernel[uv, q1, co1] = ...
        tiled uv, tw, co1:    product.local[uv, tw, co1] += ...           # over q1
      ...

By panels (``rewrites/strassen.py``) operands are there before: tiles as a whole, the kernel when the model
was compiled. A task makes its products and adds them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns, Slot, divisors
from search_space.hardware import Hardware
from search_space.nest import Bools, LoopNest
from search_space.rules.elementwise import spatial_nest
from search_space.rules.epilogue import AttachEpilogueStep, CacheWriteStep, vector_annotate
from search_space.rules.part_nests import held_in_blocks, leading_part, shrunk
from search_space.rules.places import TILE_COLUMNS, TILE_PANELS, TILE_ROWS
from search_space.rules.tiling import FinishTileStep, TileStep
from search_space.steps import Memory, PlainStep
from search_space.tiling import Tiling, make_tiling
from search_space.tvm_api import Schedule

TASKS_PER_CORE = 3
"""Fewer tasks than this leave cores idle at the end: then rows are not worth a task."""
MIN_TILES, ENOUGH_TILES = 6, 24
"""Tiles of a task: fewer than the first do not make a register tile, more than the second gain nothing."""
MAX_COLUMNS = 64
"""Columns of a task; more make tasks fewer and the kernel of one larger."""
KERNEL_PART = 1.0
"""Part of the second cache level up to which a kernel is not worth making by columns."""
USABLE = 0.6
"""Part of the second cache level that the kernel of one task, or of one block of it, may fill; tiles pass
through the rest."""
UNIT_AXES = 2
"""Iterators of extent one that stand first in a transform of results (``rewrites/unrolled.py``)."""


@dataclass(frozen=True, slots=True, eq=False)
class TilePartsStep(PlainStep):
    """Run one transform, the product and what follows it part by part.

    Attributes:
        moved: The block that makes the tiles of data, or the kernel; None if both are there before.
        outputs: Blocks after the product in program order; the last one is the result.
        tiling: Tiling of one task's product.
        part: The block ``moved``, as far as one task needs it.
        axis: Position of the result's axis that is cut.
        size: Steps of that axis in one task.
        tasks: Number of tasks; where it is rows, the axes before are outer ones and belong to the task.
        by_rows: Whether rows are cut, not columns.
    """

    moved: BlockInfo | None
    outputs: tuple[BlockInfo, ...]
    tiling: Tiling
    part: BlockInfo | None
    axis: int
    size: int
    tasks: int
    by_rows: bool

    @property
    def kernel_bytes(self) -> int:
        """Bytes of what the product reads besides what is moved."""
        tiles = "" if self.part is None else self.part.writes[0].name
        return sum(prod(u.shape) * u.element_bytes for u in self.tiling.block.reads if u.name != tiles)

    @property
    def has_blocks(self) -> bool:
        """Whether what is moved can be made block by block of the reduction."""
        return self._blocked_dimension() >= 0

    def _blocked_dimension(self) -> int:
        """Return along which dimension of what is moved the blocks of the reduction lie, or -1."""
        if self.part is None or self.tiling.blocked_reduction < 0:
            return -1
        iterator = self.tiling.axes[self.tiling.blocked_reduction].iterator
        name = self.part.writes[0].name
        use = next(u for u in self.tiling.block.reads if u.name == name)
        dimension = use.single.index(iterator) if iterator in use.single else -1
        return dimension if self.part.writes[0].single[dimension] >= 0 else -1

    def slots(self) -> tuple[Slot, ...]:
        """Own the decisions of the product's tiling."""
        return self.tiling.slots()

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of the product's tiling; a block's part of the kernel has to fit."""
        found = self.tiling.valid(columns)
        if self.part is None or not self.tiling.is_blocked:
            return found
        made = self.part.writes[0]
        held = prod(made.shape) * made.element_bytes / self.tiling.reduction_blocks(columns)
        return np.asarray(found & (held <= USABLE * self.tiling.hardware.l2_bytes))

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Split the result by tasks, move every stage below, tile the product."""
        product = self.tiling.block.name
        CacheWriteStep(self.tiling).apply(sch, columns, memory)
        final = sch.get_sblock(self.outputs[-1].name)
        loops = list(sch.get_loops(final))
        task, _ = sch.split(loops[self.axis], [None, self.size])
        if self.by_rows and self.axis:
            task = sch.fuse(*loops[: self.axis], task)
        elif self.axis:
            sch.reorder(task, *loops[: self.axis])
        sch.parallel(task)
        self._vectorise(sch, self.outputs[-1])
        for block in reversed(self.outputs[:-1]):
            sch.compute_at(sch.get_sblock(block.name), task, preserve_unit_loops=True)
            self._vectorise(sch, block)
        sch.compute_at(memory.blocks[f"{product}.epilogue"], task, preserve_unit_loops=True)
        sch.compute_at(sch.get_sblock(product), task, preserve_unit_loops=True)
        TileStep(self.tiling).apply(sch, columns, memory)
        if self.moved is not None:
            at = memory.loops[product]["R0"][-1] if self.tiling.is_blocked else task
            sch.compute_at(sch.get_sblock(self.moved.name), at, preserve_unit_loops=True)
            self._vectorise(sch, self.moved)
        AttachEpilogueStep(self.tiling, None).apply(sch, columns, memory)
        FinishTileStep(self.tiling).apply(sch, columns, memory)

    def _vectorise(self, sch: Schedule, block: BlockInfo) -> None:
        """Vectors along the last axis; a short axis is one vector of its own length."""
        loop = list(sch.get_loops(sch.get_sblock(block.name)))[-1]
        lanes, extent = self._lanes(block), int(sch.get(loop).extent)
        if extent > lanes:
            vector_annotate(sch, [loop], lanes, unroll=False)
        elif extent > 1:
            sch.vectorize(loop)

    def _lanes(self, block: BlockInfo) -> int:
        return self.tiling.hardware.lanes(block.writes[0].element_bytes)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe one task of every stage, and the result as a whole."""
        tasks = np.full(columns.size, self.tasks, np.float32)
        once = np.ones(columns.size, np.float32)

        def stage(
            block: BlockInfo, executions: np.ndarray, role: str, leading: Sequence[np.ndarray] = ()
        ) -> LoopNest:
            lanes = min(self._lanes(block), block.axes[-1].extent)
            while block.axes[-1].extent % lanes:
                lanes -= 1
            width = np.full(columns.size, lanes, np.float32)
            return spatial_nest(block, width, executions, tasks, role, leading)

        (compute,) = TileStep(self.tiling).nests(columns)
        made: tuple[LoopNest, ...] = ()
        if self.part is not None:
            at = self._blocked_dimension() if self.tiling.is_blocked else -1
            blocks = self.tiling.reduction_blocks(columns) if at >= 0 else once
            nest = stage(self.part, tasks * blocks, "pad", leading_part(self.part, at, blocks))
            made = (held_in_blocks(nest, self.part.writes[0], at, blocks),)
            step = self.tiling.loops(columns).level.index("R0") if at >= 0 else -1
            compute = held_in_blocks(compute, self.part.writes[0], at, blocks, step)
        (copy,) = AttachEpilogueStep(self.tiling, None).nests(columns)
        local = {self.tiling.block.writes[0].name: self.tiling.block.writes[0].shape}
        outputs = [
            replace(b, reads=tuple(replace(u, shape=local.get(u.name, u.shape)) for u in b.reads))
            for b in self.outputs
        ]
        return (
            *made,
            replace(compute, executions=tasks, workers=tasks),
            replace(copy, executions=copy.executions * np.float32(self.tasks), workers=tasks),
            *(stage(b, once, "elementwise") for b in outputs),
        )


def tile_rows(block: BlockInfo, blocks: dict[str, BlockInfo], hardware: Hardware) -> TilePartsStep | None:
    """Find the chain of stages that ends in a block and can run by rows of tiles.

    Args:
        block: The last block of a program.
        blocks: All blocks by name.
        hardware: Limits.

    Returns:
        The step, or None if there is no such chain, or its rows are too few, too short or too large.
    """
    chain = _chain(block, blocks, TILE_ROWS)
    if chain is None:
        return None
    product, outputs = chain
    row, outer, edge = (int(v) for v in product.body.annotations[TILE_ROWS])
    data = next((u for u in product.reads if row in u.axes), None)
    maker = _maker(data, product, blocks)
    if data is None or maker is None:
        return None
    lead = outer + (UNIT_AXES if outputs[-1].stores > 1 else 0)
    tiles = product.axes[row].extent
    height = 1 if outputs[-1].axes[lead].extent == tiles else edge
    others = prod(product.axes[i].extent for i in range(row - outer, row))
    found: tuple[int, BlockInfo] | None = None
    for rows in divisors(tiles):
        own = shrunk(product, {**{i: 1 for i in range(row - outer, row)}, row: rows})
        read = next(u for u in own.reads if u.name == data.name)
        held = sum(prod(u.shape) * u.element_bytes for u in (*own.writes, read))
        if others * (tiles // rows) < TASKS_PER_CORE * hardware.cores or held > hardware.l2_bytes:
            break
        found = rows, own
        if rows * product.axes[row + 1].extent >= ENOUGH_TILES:
            break
    if found is None or found[0] * product.axes[row + 1].extent < MIN_TILES:
        return None
    rows, own = found
    read = next(u for u in own.reads if u.name == data.name)
    needed = {i: read.shape[d] for d, i in enumerate(maker.writes[0].single) if i >= 0}
    tiling = replace(make_tiling(own, hardware), packable=(), is_nested=True)
    tasks = others * (tiles // rows)
    return TilePartsStep(maker, outputs, tiling, shrunk(maker, needed), lead, rows * height, tasks, True)


def tile_columns(block: BlockInfo, blocks: dict[str, BlockInfo], hardware: Hardware) -> TilePartsStep | None:
    """Find the chain of stages that ends in a block and can run by columns of the result.

    Args:
        block: The last block of a program.
        blocks: All blocks by name.
        hardware: Limits.

    Returns:
        The step, or None if there is no such chain, or one task's kernel is small or too large.
    """
    chain = _chain(block, blocks, TILE_COLUMNS)
    if chain is None:
        return None
    product, outputs = chain
    column = product.spatial[-1]
    kernel = next((u for u in product.reads if column in u.axes), None)
    maker = _maker(kernel, product, blocks)
    axis = len(outputs[-1].axes) - 1
    extent, group = product.axes[column].extent, product.axes[column].group
    if kernel is None or maker is None or outputs[-1].axes[axis].extent != extent:
        return None
    lanes = hardware.lanes(product.writes[0].element_bytes)
    whole = prod(kernel.shape) * kernel.element_bytes
    if extent % lanes or whole <= KERNEL_PART * hardware.l2_bytes:
        return None
    sizes = [
        size
        for size in range(lanes, MAX_COLUMNS + 1, lanes)
        if extent % size == 0
        and (group == 1 or group % size == 0)
        and extent // size >= TASKS_PER_CORE * hardware.cores
    ]
    fitting = [size for size in sizes if whole * size // extent <= USABLE * hardware.l2_bytes]
    if not sizes:
        return None
    size = fitting[-1] if fitting else sizes[0]
    own = shrunk(product, {column: size})
    last = maker.writes[0].single[-1]
    tiling = replace(make_tiling(own, hardware), packable=(), is_nested=True, is_blocked=not fitting)
    part = shrunk(maker, {last: size})
    step = TilePartsStep(maker, outputs, tiling, part, axis, size, extent // size, False)
    return step if fitting or step.has_blocks else None


def tile_panels(block: BlockInfo, blocks: dict[str, BlockInfo], hardware: Hardware) -> TilePartsStep | None:
    """Find the chain of stages that ends in a block and can run by panels of columns.

    Args:
        block: The last block of a program.
        blocks: All blocks by name.
        hardware: Limits.

    Returns:
        The step, or None if there is no such chain.
    """
    chain = _chain(block, blocks, TILE_PANELS)
    if chain is None:
        return None
    product, outputs = chain
    position, axis = (int(v) for v in product.body.annotations[TILE_PANELS])
    axis += UNIT_AXES if outputs[-1].stores > 1 else 0
    panels = product.axes[position].extent
    if outputs[-1].axes[axis].extent != panels:
        return None
    own = shrunk(product, {position: 1})
    tiling = replace(make_tiling(own, hardware), packable=(), is_nested=True)
    return TilePartsStep(None, outputs, tiling, None, axis, 1, panels, False)


def _chain(
    block: BlockInfo, blocks: dict[str, BlockInfo], mark: str
) -> tuple[BlockInfo, tuple[BlockInfo, ...]] | None:
    """Return the marked product that a block follows, and the blocks from behind it to that one."""
    outputs: list[BlockInfo] = []
    product = block
    while mark not in product.body.annotations:
        outputs.insert(0, product)
        before = [p for p in product.producers if blocks[p].consumers == (product.name,)]
        if product.is_reduction or len(before) != 1:
            return None
        product = blocks[before[0]]
    return (product, tuple(outputs)) if outputs and not block.consumers else None


def _maker(use: BufferUse | None, product: BlockInfo, blocks: dict[str, BlockInfo]) -> BlockInfo | None:
    """Return the block that makes an operand of the product, and of nothing else."""
    found = [blocks[p] for p in product.producers if use and blocks[p].writes[0].name == use.name]
    return found[0] if found and found[0].consumers == (product.name,) else None
