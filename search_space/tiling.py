"""Multi-level tiling of one block, SSRSRS, as tables and as numbers (no TVM here).

Levels, outer to inner::

    S0  parallel tasks           (spatial, one loop per axis, fused)
    S1  blocks of one task       (spatial)
    R0  blocks of the reduction
    S2  register tiles of a block (spatial)
    R1  the reduction
    R2  unrolled reduction steps
    S3  the register tile        (spatial, unrolled; the vector axis counts vectors)
    V   lanes of one vector
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns, Slot, _tile_table, choice, tile
from search_space.hardware import Hardware
from search_space.nest import Bools, Floats, LoopKind
from search_space.operands import is_packable, is_plain_operand

PACK_PLACES = (0, 1, 2, 3)
"""Values of a packing slot: not at all, once before, per task, per block of a task."""
UNPACKED, PACKED_AT_ROOT, PACKED_PER_TASK, PACKED_PER_BLOCK = PACK_PLACES
SPATIAL_PARTS = 4
REDUCTION_PARTS = 3
MAX_UNROLLED_REDUCTION = 16
MAX_ROWS_PER_TILE = 32
MAX_VECTORS_PER_TILE = 8
MAX_UNROLLED_STATEMENTS = 256
MAX_UNROLLED_CONDITIONS = 96
"""Seven results by four vectors by three taps: the condition of each is a constant there, and what multiplies
zeros of the padding is left out."""
MAX_LOCAL_TILE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class TiledAxis:
    """One axis of the tiled nest: an iterator, or the outer or inner half of a grouped one.

    Attributes:
        name: Unique within the tiling.
        iterator: Position of the block iterator.
        extent: Trip count.
        kind: Spatial or reduction.
        outer_group: Whether this is the group half of a grouped iterator.
    """

    name: str
    iterator: int
    extent: int
    kind: LoopKind
    outer_group: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """How one block is tiled; the decisions are slots named after the block.

    Attributes:
        block: The block.
        axes: Axes in loop order (iterators, grouped ones split in two).
        vector: Position in ``axes`` of the vectorised axis, or -1.
        lanes: Vector widths to choose from, in elements.
        packable: Read positions of the operands that may be packed.
        is_fused: Whether a consumer reads the tile: then it is laid out as the consumer reads it.
        hardware: Limits.
        constants: Read positions of the operands that are weights.
        must_pack: Read positions of the operands that can only be read from panels.
        group: How many steps of one reduction iterator a step of this tiling stands for: an intrinsic
            takes them at once. Extents, shapes and coefficients along it count groups, and elements
            are as large as a group.
        group_iterator: Position of that block iterator, or -1.
        is_nested: Whether it runs inside a task of another step: then S0 has one iteration.
        is_blocked: Whether blocks of the reduction lie outside of all others of a task: then S1 has one
            iteration.
    """

    block: BlockInfo
    axes: tuple[TiledAxis, ...]
    vector: int
    lanes: tuple[int, ...]
    packable: tuple[int, ...]
    hardware: Hardware
    is_fused: bool = False
    constants: tuple[int, ...] = ()
    must_pack: tuple[int, ...] = ()
    group: int = 1
    group_iterator: int = -1
    is_nested: bool = False
    is_blocked: bool = False

    @property
    def spatial(self) -> tuple[int, ...]:
        """Positions of the spatial axes."""
        return tuple(i for i, a in enumerate(self.axes) if a.kind == LoopKind.SPATIAL)

    @property
    def reduction(self) -> tuple[int, ...]:
        """Positions of the reduction axes."""
        return tuple(i for i, a in enumerate(self.axes) if a.kind == LoopKind.REDUCTION)

    @property
    def blocked_reduction(self) -> int:
        """The one reduction axis that is blocked at R0 (the longest), or -1."""
        return max(self.reduction, key=lambda i: self.axes[i].extent, default=-1)

    def tile_name(self, axis: int) -> str:
        """Name of an axis' tile slot."""
        return f"{self.block.name}.tile.{self.axes[axis].name}"

    def pack_name(self, position: int) -> str:
        """Name of an operand's packing slot; weights have none."""
        use = next(u for u in self.block.reads if u.position == position)
        return f"{self.block.name}.pack.{use.name}"

    def pack_place(self, columns: Columns, position: int) -> np.ndarray:
        """Return where a packable operand is packed, [N] of the places; a weight when a model is compiled."""
        free = position not in self.constants
        return columns.choice(self.pack_name(position)) if free else np.full(columns.size, PACKED_AT_ROOT)

    def panel_use(self, use: BufferUse) -> BufferUse:
        """Return how an operand is read once it is packed (before its dimensions are cut into panels)."""
        return use if is_plain_operand(self.block, use) else use.reindexed(self.block.axes)

    def group_of(self, use: BufferUse, dimension: int) -> int:
        """Return how many elements of an operand's dimension one step stands for."""
        return self.group if 0 <= self.group_iterator == use.single[dimension] else 1

    @property
    def order_name(self) -> str:
        """Name of the slot that says which axis runs outermost within a task."""
        return f"{self.block.name}.order"

    def slots(self) -> tuple[Slot, ...]:
        """The decisions of this tiling."""
        found: list[Slot] = []
        for i, axis in enumerate(self.axes):
            if i == self.vector:
                found.append(self._vector_slot(i))
            elif axis.kind == LoopKind.SPATIAL:
                limits = (self._most_tasks, self._most_blocks, None, MAX_ROWS_PER_TILE)
                found.append(tile(self.tile_name(i), axis.extent, SPATIAL_PARTS, limits))
            else:
                blocked = None if i == self.blocked_reduction else 1
                found.append(
                    tile(
                        self.tile_name(i),
                        axis.extent,
                        REDUCTION_PARTS,
                        (blocked, None, MAX_UNROLLED_REDUCTION),
                    )
                )
        found.append(choice(self.order_name, (0, 1)))
        for position in self.packable:
            if position not in self.constants:
                found.append(choice(self.pack_name(position), PACK_PLACES[position in self.must_pack :]))
        return tuple(found)

    @property
    def _most_tasks(self) -> int | None:  # limit of the parallel part of an axis
        return 1 if self.is_nested else None

    @property
    def _most_blocks(self) -> int | None:
        """Limit of the parts of an axis within a task."""
        return 1 if self.is_blocked else None

    def _vector_slot(self, axis: int) -> Slot:
        """Factorisations (S0, S1, S2, vectors, lanes) for every vector width on offer."""
        tables: list[np.ndarray] = []
        neighbours: list[np.ndarray] = []
        extent = self.axes[axis].extent
        width = 1
        offset = 0
        for lanes in self.lanes:
            table, near = _tile_table(
                extent // lanes,
                SPATIAL_PARTS,
                (self._most_tasks, self._most_blocks, None, MAX_VECTORS_PER_TILE),
            )
            tables.append(np.concatenate([table, np.full((len(table), 1), lanes)], axis=1))
            neighbours.append(near + offset)
            offset += len(table)
            width = max(width, near.shape[1])
        padded = [np.tile(n, (1, -(-width // n.shape[1])))[:, :width] for n in neighbours]
        return Slot(self.tile_name(axis), np.concatenate(tables), np.concatenate(padded).astype(np.int32))

    def levels(self, columns: Columns) -> dict[int, Floats]:
        """Return each axis' factors as [N, parts] (the vector axis has a fifth part, the lanes)."""
        return {i: columns.factors(self.tile_name(i)) for i in range(len(self.axes))}

    def register_tile(self, columns: Columns) -> Floats:
        """Return how many vector accumulators the register tile needs: [N]."""
        tiles = self.levels(columns)
        return np.asarray(np.prod([tiles[i][:, 3] for i in self.spatial], axis=0))

    def reduction_blocks(self, columns: Columns) -> Floats:
        """Return the trip count of R0: [N]; 1 means that accumulators never leave registers."""
        if self.blocked_reduction < 0:
            return np.ones(columns.size, np.float32)
        return columns.factors(self.tile_name(self.blocked_reduction))[:, 0]

    def valid(self, columns: Columns) -> Bools:
        """Mask of the candidates that fit the registers, the code-size and the stack limits: [N]."""
        tiles = self.levels(columns)
        accumulators = self.register_tile(columns)
        vectors = tiles[self.vector][:, 3] if self.vector >= 0 else np.ones(columns.size, np.float32)
        registers = self.hardware.vector_registers
        unrolled: Floats = np.ones(columns.size, np.float32)
        for i in self.reduction:
            unrolled = unrolled * tiles[i][:, 2]
        inner: Floats = np.ones(columns.size, np.float32)
        for i in self.spatial:
            inner = inner * tiles[i][:, 2] * tiles[i][:, 3] * (tiles[i][:, 4] if i == self.vector else 1)
        local = np.where(self.reduction_blocks(columns) > 1, inner, 1) * self.block.writes[0].element_bytes
        # One broadcast operand may come straight from memory, so the tile may fill the file.
        fits = (accumulators + vectors <= registers) & self._covers_boxes(columns)
        budget = MAX_UNROLLED_CONDITIONS if self.block.conditional else MAX_UNROLLED_STATEMENTS
        return fits & (accumulators * unrolled <= budget) & (local <= MAX_LOCAL_TILE_BYTES)

    def _covers_boxes(self, columns: Columns) -> Bools:
        """Mask of the tiles that cover a box of the output: [N].

        Where several axes walk one dimension (groups, phases), a tile with part of the finer axis and
        several steps of the coarser one has holes; its write-back, a bounding box, would copy elements
        that are not computed yet.
        """
        found = np.ones(columns.size, dtype=bool)
        tiles = self.levels(columns)
        blocked = self.reduction_blocks(columns) > 1
        for row in self._tile_dimensions():
            walking = sorted((i for i in self.spatial if row[i] != 0), key=lambda i: abs(row[i]))
            for fine, coarse in itertools.pairwise(walking):
                inner = [
                    np.prod(tiles[i][:, 3:], axis=1) * np.where(blocked, tiles[i][:, 2], 1.0)
                    for i in (fine, coarse)
                ]
                found &= (inner[0] == self.axes[fine].extent) | (inner[1] == 1)
        return found

    def _tile_dimensions(self) -> Floats:
        """Return [D, A]: how each axis moves along each dimension of the local tile."""
        if self.is_fused or self.block.writes[0].is_plain:
            return axis_coefficients(self, self.block.writes[0])
        # The tile is indexed by the block's iterators (see ``CacheWriteStep``).
        found = np.zeros((len(self.block.axes), len(self.axes)))
        for i, axis in enumerate(self.axes):
            found[axis.iterator, i] = self.block.axes[axis.iterator].group if axis.outer_group else 1
        return found

    def loops(self, columns: Columns) -> TileLoops:
        """Lay the loops out, outer to inner, for every candidate."""
        return _layout(self, columns)


@dataclass(frozen=True, slots=True, eq=False)
class TileLoops:
    """The loops of a tiled block for N candidates.

    Attributes:
        extents: [N, L].
        strides: [N, L] how far the axis moves per iteration.
        axes: [L] which axis of the tiling each loop belongs to in the natural and in the swapped order.
        swapped: [N] 1 where the order is swapped.
        level: [L] of level names.
        kinds: [L].
    """

    extents: Floats
    strides: Floats
    axes: tuple[tuple[int, int], ...]
    swapped: Floats
    level: tuple[str, ...]
    kinds: np.ndarray


def _layout(tiling: Tiling, columns: Columns) -> TileLoops:
    tiles = tiling.levels(columns)
    size = columns.size
    swapped = columns.choice(tiling.order_name) == 1
    natural = tiling.spatial
    vector_first = (
        (tiling.vector, *(i for i in natural if i != tiling.vector)) if tiling.vector >= 0 else natural
    )
    extents: list[Floats] = []
    strides: list[Floats] = []
    axes: list[tuple[int, int]] = []
    level: list[str] = []
    kinds: list[int] = []
    below = {i: _strides(t) for i, t in tiles.items()}

    def add(name: str, kind: LoopKind, first: int, second: int, part: int) -> None:
        extent, stride = tiles[first][:, part], below[first][part]
        if first != second:
            extent = np.where(swapped, tiles[second][:, part], extent)
            stride = np.where(swapped, below[second][part], stride)
        extents.append(extent)
        strides.append(stride)
        axes.append((first, second))
        level.append(name)
        kinds.append(int(kind))

    for i in natural:
        add("S0", LoopKind.SPATIAL, i, i, 0)
    for i, j in zip(natural, vector_first, strict=True):
        add("S1", LoopKind.SPATIAL, i, j, 1)
    if tiling.blocked_reduction >= 0:
        add("R0", LoopKind.REDUCTION, tiling.blocked_reduction, tiling.blocked_reduction, 0)
    for i in natural:
        add("S2", LoopKind.SPATIAL, i, i, 2)
    for i in tiling.reduction:
        add("R1", LoopKind.REDUCTION, i, i, 1)
    for i in tiling.reduction:
        add("R2", LoopKind.REDUCTION, i, i, 2)
    for i in natural:
        if i != tiling.vector:
            add("S3", LoopKind.SPATIAL, i, i, 3)
    if tiling.vector >= 0:
        add("S3", LoopKind.SPATIAL, tiling.vector, tiling.vector, 3)
        add("V", LoopKind.SPATIAL, tiling.vector, tiling.vector, 4)
    return TileLoops(
        np.stack(extents).T if extents else np.ones((size, 0), np.float32),
        np.stack(strides).T if strides else np.ones((size, 0), np.float32),
        tuple(axes),
        swapped.astype(np.float32),
        tuple(level),
        np.array(kinds, dtype=np.int8),
    )


def _strides(tiles: Floats) -> list[Floats]:
    """Return for each part of an axis how far one iteration moves: the product of the parts below."""
    found: list[Floats] = [np.ones(len(tiles), np.float32)]
    for part in range(tiles.shape[1] - 1, 0, -1):
        found.append(found[-1] * tiles[:, part])
    return found[::-1]


def axis_coefficients(tiling: Tiling, use: BufferUse) -> Floats:
    """Return [D, A]: the change of each index of a buffer per step of each axis of a tiling."""
    found = np.zeros((len(use.shape), len(tiling.axes)))
    for i, axis in enumerate(tiling.axes):
        source = use.group_coefficients if axis.outer_group else use.coefficients
        found[:, i] = source[:, axis.iterator]
    return found


def make_tiling(
    block: BlockInfo,
    hardware: Hardware,
    is_fused: bool = False,
    weights: frozenset[str] = frozenset(),
    rows: int | None = None,
) -> Tiling:
    """Choose the axes, the vector axis and the packable operands of a block.

    The vector axis is the spatial axis along which the output is contiguous, unless ``rows`` says another.

    Args:
        block: A block with one written buffer.
        hardware: Limits.
        is_fused: Whether a consumer reads the tile.
        weights: Names of buffers that are known when a model is compiled.
        rows: Iterator of the vector axis (see ``rules/row_vectors.py``).

    Returns:
        The tiling.
    """
    axes: list[TiledAxis] = []
    for i, axis in enumerate(block.axes):
        if axis.group > 1 and axis.extent % axis.group == 0 and axis.kind == LoopKind.SPATIAL:
            axes.append(TiledAxis(f"{axis.name}.group", i, axis.extent // axis.group, axis.kind, True))
            axes.append(TiledAxis(axis.name, i, axis.group, axis.kind))
        else:
            axes.append(TiledAxis(axis.name, i, axis.extent, axis.kind))
    output = block.writes[0]
    vector = -1
    for i, tiled in enumerate(axes):
        whole = tiled.kind == LoopKind.SPATIAL and not tiled.outer_group and tiled.extent > 1
        along = output.last_coefficient(tiled.iterator) == 1 if rows is None else tiled.iterator == rows
        if whole and along:
            vector = i
    widest = hardware.lanes(max(u.element_bytes for u in (*block.writes, *block.reads)))
    lanes: list[int] = []
    if vector >= 0:
        width = widest
        while width >= 1 and len(lanes) < 3:
            if axes[vector].extent % width == 0 and (width > 1 or not lanes):
                lanes.append(width)
            width //= 2
    packable = tuple(use.position for use in block.reads if is_packable(block, use))
    constants = tuple(use.position for use in block.reads if use.name in weights)
    return Tiling(block, tuple(axes), vector, tuple(lanes), packable, hardware, is_fused, constants)
