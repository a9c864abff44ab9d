"""The tiled computation as numbers: its loop nest and accesses, for a whole population."""

from __future__ import annotations

import numpy as np

from search_space.access import BufferUse
from search_space.decisions import Columns
from search_space.nest import Access, Bools, Floats, LoopKind, LoopNest, Table, flags
from search_space.padding_share import left_out
from search_space.tiling import TileLoops, Tiling, axis_coefficients


def access_of(
    tiling: Tiling, use: BufferUse, loops: TileLoops, packed: Floats | None, tiles: Floats
) -> Access:
    """Describe how the tiled nest touches one buffer.

    Args:
        tiling: The tiling.
        use: The buffer.
        loops: The nest's loops.
        packed: [N] 1 where the operand is packed into panels, or None when it never is.
        tiles: [N, D] elements of each dimension that a register tile covers (panel widths).

    Returns:
        The access; a packed operand has its panel dimensions appended.
    """
    size, depth = loops.extents.shape
    panels = use if packed is None else tiling.panel_use(use)
    dimensions = max(len(use.shape), len(panels.shape))
    own = _Moves(tiling, use, dimensions, loops)
    theirs = own if panels is use else _Moves(tiling, panels, dimensions, loops)
    width: dict[int, Floats] = {}
    if packed is not None:
        unpacked = 1 - packed
        walked = [d for d, axis in enumerate(panels.single) if axis >= 0 and _is_panel(tiling, panels, d)]
        for d in walked:
            place = d + dimensions - len(panels.shape)
            width[place] = np.where(packed > 0, tiles[:, d], 1).astype(np.float32)
    order = list(width)
    table = Table(dimensions + len(width), depth, size)
    for loop, level in enumerate(loops.level):
        within = level in ("S3", "V")
        for d in range(dimensions):
            plain = own.at(d, loop)
            if packed is None:
                if plain is not None:
                    table.put(d, loop, plain)
                continue
            paneled = plain if theirs is own else theirs.at(d, loop)
            if paneled is not None and d in width:
                if within:
                    table.put(dimensions + order.index(d), loop, paneled * packed)
                    paneled = None
                else:
                    # A step of one outside a panel is one panel in as many as it is wide.
                    paneled = paneled / width[d]
            if paneled is not plain:
                outside = 0 if plain is None else plain * unpacked
                table.put(d, loop, outside if paneled is None else outside + paneled * packed)
            elif plain is not None:
                table.put(d, loop, plain)
    shape = own.shape
    if packed is not None:
        rows = np.ones((dimensions + len(width), size), np.float32)
        rows[:dimensions] = np.where(packed > 0, theirs.shape.T, own.shape.T)
        for place, d in enumerate(width):
            rows[d] /= width[d]
            rows[dimensions + place] = width[d]
        shape = rows.T
    return Access(
        use.name, use.element_bytes, use.is_write, use.is_write, shape, table.coefficients, used=table.used
    )


class _Moves:
    """How the loops of a tiling move in a buffer, whose dimensions get leading ones of extent one.

    Args:
        tiling: The tiling.
        use: The buffer.
        dimensions: Dimensions with the leading ones.
        loops: The nest's loops.
    """

    def __init__(self, tiling: Tiling, use: BufferUse, dimensions: int, loops: TileLoops) -> None:
        self._loops = loops
        missing = dimensions - len(use.shape)
        steps = [[0.0] * len(tiling.axes)] * missing
        self._steps: list[list[float]] = steps + axis_coefficients(tiling, use).tolist()
        self.shape: Floats = np.array([(1.0,) * missing + tuple(map(float, use.shape))], dtype=np.float32)

    def at(self, dimension: int, loop: int) -> Floats | None:
        """Return the change of an index per iteration of a loop: [N]; None if it never changes."""
        first, second = self._loops.axes[loop]
        step, other = self._steps[dimension][first], self._steps[dimension][second]
        if not step and not other:
            return None
        stride = self._loops.strides[:, loop]
        return stride * (step if step == other else step + self._loops.swapped * (other - step))


def _is_panel(tiling: Tiling, use: BufferUse, dimension: int) -> bool:
    iterator = use.single[dimension]
    return any(a.iterator == iterator and a.kind == LoopKind.SPATIAL for a in tiling.axes)


def panel_widths(tiling: Tiling, use: BufferUse, columns: Columns) -> Floats:
    """Return [N, D]: how many elements of each dimension one register tile covers (1 if none)."""
    found = np.ones((len(use.shape), columns.size), np.float32)
    tiles = tiling.levels(columns)
    for d, iterator in enumerate(use.single):
        for i in tiling.spatial:
            if iterator >= 0 and tiling.axes[i].iterator == iterator and not tiling.axes[i].outer_group:
                lanes = tiles[i][:, 4] if i == tiling.vector else 1.0
                found[d] = tiles[i][:, 3] * lanes
    return found.T


def compute_nest(tiling: Tiling, columns: Columns) -> LoopNest:
    """Describe the tiled computation itself."""
    loops = tiling.loops(columns)
    depth = len(loops.level)
    accesses: list[Access] = []
    for use in (*tiling.block.writes, *tiling.block.reads):
        packed = (
            (tiling.pack_place(columns, use.position) > 0).astype(np.float32)
            if not use.is_write and use.position in tiling.packable
            else None
        )
        widths = panel_widths(tiling, tiling.panel_use(use), columns)
        accesses.append(access_of(tiling, use, loops, packed, widths))

    def at(*names: str) -> Bools:
        return flags(columns.size, depth, *(loop for loop, name in enumerate(loops.level) if name in names))

    none = np.zeros(columns.size, np.float32)
    return LoopNest(
        stage="compute",
        extents=loops.extents,
        kinds=loops.kinds,
        parallel=at("S0"),
        unrolled=at("R2", "S3"),
        vectorised=at("V"),
        accesses=tuple(accesses),
        flops=max(tiling.block.flops, 1.0),
        transcendentals=tiling.block.transcendentals,
        executions=none + 1,
        workers=none,
        predicated=left_out(tiling, columns) if tiling.block.conditional else none,
    )
