"""The tiled computation as numbers: its loop nest and accesses, for a whole population."""

from __future__ import annotations

import numpy as np

from search_space.access import BufferUse
from search_space.decisions import Columns
from search_space.nest import Access, Floats, LoopKind, LoopNest
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
    coefficients = _per_loop(tiling, use, loops)
    shape = np.broadcast_to(np.array(use.shape, dtype=np.float64), (len(loops.extents), len(use.shape)))
    if packed is not None:
        panels = tiling.panel_use(use)
        if panels is not use:
            coefficients, shape = _either(
                packed, (_per_loop(tiling, panels, loops), panels.shape), (coefficients, use.shape)
            )
        walked = [d for d, axis in enumerate(panels.single) if axis >= 0 and _is_panel(tiling, panels, d)]
        width = np.where(packed[:, None] > 0, tiles[:, walked], 1.0)
        inner = [d + shape.shape[1] - len(panels.shape) for d in walked]
        within = np.array([name in ("S3", "V") for name in loops.level])
        outer_part = coefficients.copy()
        outer_part[:, inner, :] = np.where(
            (packed[:, None, None] > 0),
            np.where(within, 0.0, coefficients[:, inner, :] / width[:, :, None]),
            coefficients[:, inner, :],
        )
        inner_part = np.where((packed[:, None, None] > 0) & within, coefficients[:, inner, :], 0.0)
        outer_shape = shape.copy()
        outer_shape[:, inner] = shape[:, inner] / width
        coefficients = np.concatenate([outer_part, inner_part], axis=1)
        shape = np.concatenate([outer_shape, width], axis=1)
    return Access(use.name, use.element_bytes, use.is_write, use.is_write, shape, coefficients)


def _per_loop(tiling: Tiling, use: BufferUse, loops: TileLoops) -> Floats:
    """Return [N, D, L]: the change of each index per iteration of each loop."""
    found: Floats = axis_coefficients(tiling, use).T[loops.axis].transpose(0, 2, 1)
    return found * loops.strides[:, None, :]


def _either(
    packed: Floats, panels: tuple[Floats, tuple[int, ...]], plain: tuple[Floats, tuple[int, ...]]
) -> tuple[Floats, Floats]:
    """Describe an operand by its panels' dimensions where it is packed, else by its own: [N, D, L], [N, D].

    The description with fewer dimensions gets leading ones of extent one.
    """
    dims = max(len(panels[1]), len(plain[1]))
    coefficients: list[Floats] = []
    shapes: list[Floats] = []
    for values, shape in (panels, plain):
        missing = dims - len(shape)
        coefficients.append(np.pad(values, ((0, 0), (missing, 0), (0, 0))))
        shapes.append(np.array((1.0,) * missing + tuple(map(float, shape))))
    chosen = packed[:, None] > 0
    return np.where(chosen[..., None], *coefficients), np.where(chosen, *shapes)


def _is_panel(tiling: Tiling, use: BufferUse, dimension: int) -> bool:
    iterator = use.single[dimension]
    return any(a.iterator == iterator and a.kind == LoopKind.SPATIAL for a in tiling.axes)


def panel_widths(tiling: Tiling, use: BufferUse, columns: Columns) -> Floats:
    """Return [N, D]: how many elements of each dimension one register tile covers (1 if none)."""
    found = np.ones((columns.size, len(use.shape)))
    tiles = tiling.levels(columns)
    for d, iterator in enumerate(use.single):
        for i in tiling.spatial:
            if iterator >= 0 and tiling.axes[i].iterator == iterator and not tiling.axes[i].outer_group:
                lanes = tiles[i][:, 4] if i == tiling.vector else 1.0
                found[:, d] = tiles[i][:, 3] * lanes
    return found


def compute_nest(tiling: Tiling, columns: Columns) -> LoopNest:
    """Describe the tiled computation itself."""
    loops = tiling.loops(columns)
    level = np.array(loops.level)
    accesses: list[Access] = []
    for use in (*tiling.block.writes, *tiling.block.reads):
        packed = (
            (columns.choice(tiling.pack_name(use.position)) > 0).astype(np.float64)
            if not use.is_write and use.position in tiling.packable
            else None
        )
        widths = panel_widths(tiling, tiling.panel_use(use), columns)
        accesses.append(access_of(tiling, use, loops, packed, widths))
    broadcast = np.ones((columns.size, 1), dtype=bool)
    ones = np.ones(columns.size)
    return LoopNest(
        stage="compute",
        extents=loops.extents,
        kinds=loops.kinds,
        parallel=broadcast & (level == "S0"),
        unrolled=broadcast & np.isin(level, ("R2", "S3")),
        vectorised=(broadcast & (level == "V")) & (loops.extents > 1),
        accesses=tuple(accesses),
        flops=max(tiling.block.flops, 1.0),
        transcendentals=tiling.block.transcendentals,
        executions=ones,
        workers=np.zeros(columns.size),
        predicated=np.zeros(columns.size),
    )
