"""Passes that the threads of a block share, as numbers."""

from __future__ import annotations

import numpy as np

from search_space.access import BlockInfo
from search_space.nest import Access, Binding, Floats, Launch, LoopNest, Scope


def shared_row_nest(
    block: BlockInfo,
    rows: int,
    blocks: Floats,
    rows_per_block: Floats,
    threads: Floats,
    shared: set[str],
    launch: Launch | None,
    stage: str = "rows",
) -> LoopNest:
    """Describe one pass over rows: the last axes are shared among the threads.

    Args:
        block: The block of the pass.
        rows: How many leading axes are row axes.
        blocks: [N] thread blocks.
        rows_per_block: [N] rows that a block computes.
        threads: [N] threads of one row.
        shared: Names of buffers in shared memory.
        launch: The kernel, for its first pass.
        stage: Role name.

    Returns:
        The nest: blocks, rows, steps of a thread, threads.
    """
    size = len(threads)
    ones = np.ones(size)
    inner = list(range(rows, len(block.axes)))
    extents: list[Floats] = [blocks, rows_per_block]
    kinds: list[int] = [0, 0]
    binding: list[int] = [int(Binding.BLOCK), int(Binding.THREAD)]
    # Threads cover the innermost axes first.
    left = threads.copy()
    covered: dict[int, Floats] = {}
    for i in reversed(inner):
        extent = np.full(size, float(block.axes[i].extent))
        covered[i] = np.minimum(extent, left)
        left = np.maximum(1.0, np.floor(left / covered[i]))
    for i in inner:
        extents.append(np.ceil(block.axes[i].extent / covered[i]))
        kinds.append(int(block.axes[i].kind))
        binding.append(int(Binding.SERIAL))
    for i in inner:
        extents.append(covered[i])
        kinds.append(int(block.axes[i].kind))
        binding.append(int(Binding.THREAD))
    count = len(extents)
    accesses: list[Access] = []
    for use in (*block.writes, *block.reads):
        coefficients = np.zeros((size, len(use.shape), count))
        if rows:
            # The fused rows move along the last row axis; carries into the others are left out.
            coefficients[:, :, 0] = use.coefficients[None, :, rows - 1] * rows_per_block[:, None]
            coefficients[:, :, 1] = use.coefficients[None, :, rows - 1]
        for place, i in enumerate(inner):
            coefficients[:, :, 2 + place] = use.coefficients[None, :, i] * covered[i][:, None]
            coefficients[:, :, 2 + len(inner) + place] = use.coefficients[None, :, i]
        shape = np.array(use.shape, dtype=np.float64)[None, :]
        scope = Scope.SHARED if use.name in shared else Scope.GLOBAL
        is_local = use.is_write and block.is_reduction
        if is_local:
            scope = Scope.REGISTER
        accesses.append(
            Access(use.name, use.element_bytes, use.is_write, is_local, shape, coefficients, scope=scope)
        )
    table = np.stack(extents, axis=1)
    return LoopNest(
        stage=stage,
        extents=table,
        kinds=np.array(kinds, dtype=np.int8),
        parallel=np.zeros(table.shape, dtype=bool),
        unrolled=np.zeros(table.shape, dtype=bool),
        vectorised=np.zeros(table.shape, dtype=bool),
        accesses=tuple(accesses),
        flops=max(block.flops, 1.0),
        transcendentals=block.transcendentals,
        executions=ones,
        workers=np.zeros(size),
        predicated=np.zeros(size),
        binding=np.array(binding, dtype=np.int8),
        launch=launch,
    )
