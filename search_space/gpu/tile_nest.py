"""The stages of a tiled kernel as numbers: compute, fetch, write-back, for a whole population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns
from search_space.gpu.tiling import GpuTiling, Operand
from search_space.nest import Access, Binding, Bools, Floats, Launch, LoopKind, LoopNest, Scope


@dataclass(frozen=True, slots=True, eq=False)
class _Loop:
    """One loop of a nest: trip count [N], axis, steps of the axis per iteration [N], binding."""

    extent: Floats
    axis: int
    step: Floats
    binding: Binding
    kind: LoopKind
    unrolled: bool = False


def _tile_loops(tiling: GpuTiling, columns: Columns) -> list[_Loop]:
    parts = tiling.parts(columns)
    found: list[_Loop] = []

    def add(axes: tuple[int, ...], part: int, binding: Binding, unrolled: bool = False) -> None:
        for i in axes:
            step = np.prod(parts[i][:, part + 1 :], axis=1)
            found.append(_Loop(parts[i][:, part], i, step, binding, tiling.axes[i].kind, unrolled))

    spatial, reduction = tiling.spatial, tiling.reduction
    add(spatial, 0, Binding.BLOCK)
    add(spatial, 1, Binding.VTHREAD)
    add(spatial, 2, Binding.THREAD)
    add(reduction, 0, Binding.SERIAL)
    add(reduction, 1, Binding.SERIAL)
    add(spatial, 3, Binding.SERIAL, True)
    add(reduction, 2, Binding.SERIAL, True)
    add(spatial, 4, Binding.SERIAL, True)
    return found


def _along(loops: list[_Loop], per_axis: Floats, size: int) -> Floats:
    """Return [N, D, L]: the change of each index per iteration of each loop."""
    found = np.zeros((size, per_axis.shape[0], len(loops)))
    for place, loop in enumerate(loops):
        found[:, :, place] = per_axis[None, :, loop.axis] * loop.step[:, None]
    return found


def _nest(
    stage: str,
    loops: list[_Loop],
    accesses: list[Access],
    flops: float,
    transcendentals: float,
    executions: Floats,
    vector: Bools | None = None,
    launch: Launch | None = None,
) -> LoopNest:
    extents = np.stack([loop.extent for loop in loops], axis=1)
    unrolled = np.zeros(extents.shape, dtype=bool)
    unrolled[:, [i for i, loop in enumerate(loops) if loop.unrolled]] = True
    vectorised = np.zeros(extents.shape, dtype=bool)
    if vector is not None:
        vectorised[:, -1] = vector
    return LoopNest(
        stage=stage,
        extents=extents,
        kinds=np.array([int(loop.kind) for loop in loops], dtype=np.int8),
        parallel=np.zeros(extents.shape, dtype=bool),
        unrolled=unrolled,
        vectorised=vectorised,
        accesses=tuple(accesses),
        flops=flops,
        transcendentals=transcendentals,
        executions=executions,
        workers=np.zeros(len(extents)),
        predicated=np.zeros(len(extents)),
        binding=np.array([int(loop.binding) for loop in loops], dtype=np.int8),
        launch=launch,
    )


def compute_nest(tiling: GpuTiling, columns: Columns) -> LoopNest:
    """Describe the tiled computation; it starts the kernel."""
    loops = _tile_loops(tiling, columns)
    size = columns.size
    whole = np.array([loop.binding == Binding.BLOCK for loop in loops])
    first = next(
        (p for p, loop in enumerate(loops) if loop.kind == LoopKind.REDUCTION and not loop.unrolled), 0
    )
    # The loops over stages are the first reduction loops: a stage starts anew in each iteration.
    outside = whole.copy()
    outside[first : first + len(tiling.reduction)] = True
    staged = {o.use.position: o for o in tiling.operands}
    accesses: list[Access] = []
    for use in (*tiling.block.writes, *tiling.block.reads):
        per_loop = _along(loops, tiling.coefficients(use), size)
        shape = np.broadcast_to(np.array(use.shape, dtype=np.float64), (size, len(use.shape)))
        if use.is_write:
            accesses.append(
                Access(use.name, use.element_bytes, True, True, shape, per_loop, scope=Scope.REGISTER)
            )
            continue
        operand = staged.get(use.position)
        if operand is None:
            accesses.append(Access(use.name, use.element_bytes, False, False, shape, per_loop))
            continue
        # One entry for each place that the operand may be read from; the other has no loops to walk.
        is_staged = tiling.is_staged(operand, columns)
        local = np.where(outside[None, None, :], 0.0, per_loop)
        coefficients = np.where(is_staged[:, None, None], local, per_loop)
        region = np.where(is_staged[:, None], tiling.stage_region(operand, columns), shape)
        accesses.append(
            Access(
                use.name,
                use.element_bytes,
                False,
                False,
                region,
                coefficients,
                scope=Scope.SHARED,
                pitch=np.where(is_staged, tiling.pitch(operand, columns), -1.0),
            )
        )
    return _nest(
        "compute",
        loops,
        accesses,
        max(tiling.block.flops, 1.0),
        tiling.block.transcendentals,
        np.ones(size),
        launch=launch_of(tiling, columns, np.zeros(size)),
    )


def launch_of(tiling: GpuTiling, columns: Columns, tensor_share: Floats) -> Launch:
    """Describe the launch of a tiled kernel."""
    return Launch(
        blocks=tiling.level(columns, 0),
        threads=tiling.threads(columns),
        shared_bytes=tiling.shared_bytes(columns),
        registers=tiling.registers(columns),
        stages=np.where(tiling.stages_anything(columns), tiling.stages(columns), 0.0),
        pipeline=columns.choice(tiling.pipeline_name).astype(np.float64),
        tensor_share=tensor_share,
    )


def fetch_nest(tiling: GpuTiling, operand: Operand, columns: Columns) -> LoopNest:
    """Describe the copy of one operand into shared memory: every stage of every block."""
    return copy_nest(
        operand.use.name,
        operand.use.element_bytes,
        operand.use.shape,
        tiling.stage_region(operand, columns),
        tiling.fetch_width(operand, columns).astype(np.float64),
        tiling.threads(columns),
        tiling.pitch(operand, columns),
        np.where(tiling.is_staged(operand, columns), tiling.level(columns, 0) * tiling.stages(columns), 0.0),
        operand.maker.flops if operand.maker is not None else 0.0,
    )


def copy_nest(
    name: str,
    element_bytes: int,
    shape: tuple[int, ...],
    region: Floats,
    width: Floats,
    threads: Floats,
    pitch: Floats,
    executions: Floats,
    flops: float,
    stage: str = "fetch",
) -> LoopNest:
    """Describe a copy between global and shared memory by all threads of a block.

    Threads walk the box in row-major order, a vector each; its dimensions are covered by the threads
    from the last one on.

    Args:
        name: The buffer in global memory.
        element_bytes: Bytes of one element.
        shape: Its extents: D of them.
        region: [N, D] the box.
        width: [N] elements of one access.
        threads: [N] threads of a block.
        pitch: [N] elements from one row of the box to the next in shared memory.
        executions: [N] how often it is copied in all.
        flops: Operations for an element.
        stage: ``fetch``, or ``epilogue`` for the way back.
    """
    size, dimensions = len(width), len(shape)
    ones = np.ones(size)
    left = threads.copy()
    inner: dict[int, Floats] = {}
    outer: dict[int, Floats] = {}
    for d in reversed(range(dimensions)):
        extent = region[:, d] / (width if d == dimensions - 1 else 1.0)
        inner[d] = np.minimum(extent, left)
        outer[d] = np.ceil(extent / inner[d])
        left = np.maximum(1.0, np.floor(left / inner[d]))
    loops: list[_Loop] = []
    for d in range(dimensions):
        step = inner[d] * (width if d == dimensions - 1 else 1.0)
        loops.append(_Loop(outer[d], d, step, Binding.SERIAL, LoopKind.SPATIAL))
    for d in range(dimensions):
        step = width if d == dimensions - 1 else ones
        loops.append(_Loop(inner[d], d, step, Binding.THREAD, LoopKind.SPATIAL))
    loops.append(_Loop(width, dimensions - 1, ones, Binding.SERIAL, LoopKind.SPATIAL))
    whole = np.broadcast_to(np.array(shape, dtype=np.float64), (size, dimensions))
    walked = _along(loops, np.eye(dimensions), size)
    is_fetch = stage == "fetch"
    inside = Access(
        f"{name}.shared", element_bytes, is_fetch, False, region, walked, scope=Scope.SHARED, pitch=pitch
    )
    outside = Access(name, element_bytes, not is_fetch, False, whole, walked)
    return _nest(stage, loops, [inside, outside], flops, 0.0, executions, vector=width > 1)


def write_back_nest(
    tiling: GpuTiling, consumer: BlockInfo | None, width: Floats, columns: Columns
) -> LoopNest:
    """Describe the write-back of all register tiles, a vector of ``width`` elements at a time."""
    parts, size = tiling.parts(columns), columns.size
    spatial = tiling.spatial
    last = spatial[-1]
    loops: list[_Loop] = []
    for part, binding in ((0, Binding.BLOCK), (1, Binding.VTHREAD), (2, Binding.THREAD)):
        for i in spatial:
            step = np.prod(parts[i][:, part + 1 :], axis=1)
            loops.append(_Loop(parts[i][:, part], i, step, binding, LoopKind.SPATIAL))
    for i in spatial:
        extent = parts[i][:, 3] * parts[i][:, 4] / (width if i == last else 1.0)
        step = width if i == last else np.ones(size)
        loops.append(_Loop(extent, i, step, Binding.SERIAL, LoopKind.SPATIAL, True))
    loops.append(_Loop(width, last, np.ones(size), Binding.SERIAL, LoopKind.SPATIAL))
    accesses: list[Access] = []
    uses = tiling.block.writes if consumer is None else (*consumer.writes, *consumer.reads)
    for use in uses:
        if consumer is not None and use.name == tiling.block.writes[0].name:
            continue
        per_axis = tiling.coefficients(use) if consumer is None else _consumer_axes(tiling, consumer, use)
        shape = np.array(use.shape, dtype=np.float64)[None, :]
        accesses.append(
            Access(use.name, use.element_bytes, use.is_write, False, shape, _along(loops, per_axis, size))
        )
    return _nest(
        "epilogue",
        loops,
        accesses,
        0.0 if consumer is None else consumer.flops,
        0.0 if consumer is None else consumer.transcendentals,
        np.ones(size),
        vector=width > 1,
    )


def _consumer_axes(tiling: GpuTiling, consumer: BlockInfo, use: BufferUse) -> Floats:
    """Return [D, A]: the change of a consumer's index per step of each axis of the producer's tiling."""
    produced = tiling.block.writes[0]
    read = next(u for u in consumer.reads if u.name == produced.name)
    found = np.zeros((len(use.shape), len(tiling.axes)))
    for i in tiling.spatial:
        axis = tiling.axes[i]
        for dimension, iterator in enumerate(produced.single):
            own = read.single[dimension]
            if iterator == axis.iterator and own >= 0:
                scale = tiling.block.axes[axis.iterator].group if axis.outer_group else 1
                found[:, i] = use.coefficients[:, own] * scale
    return found
