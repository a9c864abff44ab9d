"""Blocks on their own: one thread computes some neighbouring output elements.

before::

    for i, j: D[i, j] = A[i, j] + 1

after::

    bind blockIdx.x, threadIdx.x: vector v: D[...] = A[...] + 1

A reduction that nothing else takes runs the same way, serially in each thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns, Slot, choice
from search_space.gpu.limits import BASE_REGISTERS
from search_space.gpu.untuned import bind_grid
from search_space.hardware_gpu import GpuHardware
from search_space.nest import Access, Binding, Floats, Launch, LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule

THREADS = (64, 128, 256, 512)


@dataclass(frozen=True, slots=True, eq=False)
class BindStep(PlainStep):
    """Bind the output loops of one block."""

    block: BlockInfo
    hardware: GpuHardware

    @property
    def _uses(self) -> tuple[BufferUse, ...]:
        return (*self.block.writes, *self.block.reads)

    @property
    def _threads_name(self) -> str:
        return f"{self.block.name}.threads"

    @property
    def _vector_name(self) -> str:
        return f"{self.block.name}.vector"

    def slots(self) -> tuple[Slot, ...]:
        """Own the threads of a block and the elements of a vector access."""
        return (
            choice(self._threads_name, tuple(t for t in THREADS if t <= self.hardware.block_threads)),
            choice(self._vector_name, self._widths()),
        )

    def _widths(self) -> tuple[int, ...]:
        widest = self.hardware.fetch_bytes // max(u.element_bytes for u in self._uses)
        return tuple(w for w in (1, 2, 4, 8) if w <= widest and (w == 1 or self._is_aligned(w)))

    def _is_aligned(self, width: int) -> bool:
        """Whether every contiguous access of that many elements starts at a multiple of them."""
        if self.block.is_reduction or not self.block.axes or any(u.dtype == "bool" for u in self._uses):
            return False
        if self.block.conditional and self.block.stores > 1:
            return False  # TVM 0.27 vectorises bound conditional values wrongly (Winograd with its padding)
        if is_flat(self.block):
            return prod(a.extent for a in self.block.axes) % width == 0
        return self.block.axes[-1].extent % width == 0 and all(u.vector % width == 0 for u in self._uses)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Fuse the outputs, split off the vector, bind the rest."""
        threads = int(columns.choice(self._threads_name)[0])
        width = int(columns.choice(self._vector_name)[0])
        block = sch.get_sblock(self.block.name)
        loops = list(sch.get_loops(block))
        spatial = [loops[i] for i in self.block.spatial]
        if not spatial:
            outer = sch.add_unit_loop(loops[0] if loops else block)
        else:
            sch.reorder(*spatial, *(loops[i] for i in self.block.reduction))
            outer = sch.fuse(*spatial) if len(spatial) > 1 else spatial[0]
        if width > 1:
            outer, inner = sch.split(outer, [None, width])
            sch.vectorize(inner)
        bind_grid(sch, outer, threads)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the kernel."""
        threads = columns.choice(self._threads_name).astype(np.float64)
        width = columns.choice(self._vector_name).astype(np.float64)
        return (bound_nest(self.block, threads, width),)


def is_flat(block: BlockInfo) -> bool:
    """Report whether all buffers of a block are walked in the same contiguous order."""
    uses = (*block.writes, *block.reads)
    in_order = all(
        u.affine and all(s == d or e == 1 for d, (s, e) in enumerate(zip(u.single, u.shape, strict=True)))
        for u in uses
    )
    return len({u.shape for u in uses}) == 1 and in_order and not block.conditional


def bound_nest(block: BlockInfo, threads: Floats, width: Floats, stage: str = "elementwise") -> LoopNest:
    """Describe a block whose fused outputs are shared among blocks and threads.

    The threads cover the innermost outputs; an output axis is split into a part of the grid, a part
    of the threads and, for the last one, the vector.

    Args:
        block: The block.
        threads: [N] threads of a block.
        width: [N] vector width.
        stage: Role name.

    Returns:
        The nest, with its launch.
    """
    size = len(threads)
    spatial, reduction = block.spatial, block.reduction
    outer, inner = {}, {}
    left = threads.copy()
    for position, i in enumerate(reversed(spatial)):
        extent = np.full(size, float(block.axes[i].extent)) / (width if position == 0 else 1.0)
        inner[i] = np.minimum(extent, left)
        outer[i] = np.ceil(extent / inner[i])
        left = np.maximum(1.0, np.floor(left / inner[i]))
    ones = np.ones(size)
    columns: list[tuple[Floats, int, Floats, Binding]] = []
    for i in spatial:
        step: Floats = inner[i] * (width if i == spatial[-1] else 1.0)
        columns.append((outer[i], i, step, Binding.BLOCK))
    for i in spatial:
        columns.append((inner[i], i, width if i == spatial[-1] else ones, Binding.THREAD))
    for i in reduction:
        columns.append((ones * block.axes[i].extent, i, ones, Binding.SERIAL))
    if spatial:
        columns.append((width, spatial[-1], ones, Binding.SERIAL))
    else:
        columns.append((ones, -1, ones, Binding.THREAD))
    extents = np.stack([c[0] for c in columns], axis=1)
    accesses = []
    for use in (*block.writes, *block.reads):
        coefficients = np.zeros((size, len(use.shape), len(columns)))
        for place, (_, axis, step, _) in enumerate(columns):
            if axis >= 0:
                coefficients[:, :, place] = use.coefficients[None, :, axis] * step[:, None]
        shape = np.array(use.shape, dtype=np.float64)[None, :]
        accesses.append(Access(use.name, use.element_bytes, use.is_write, False, shape, coefficients))
    vector = np.zeros(extents.shape, dtype=bool)
    vector[:, -1] = (extents[:, -1] > 1) & bool(spatial)
    outputs = float(max(1, block.spatial_size))
    words = sum(u.element_bytes for u in (*block.writes, *block.reads)) / 4.0
    return LoopNest(
        stage=stage,
        extents=extents,
        kinds=np.array([int(block.axes[c[1]].kind) if c[1] >= 0 else 0 for c in columns], dtype=np.int8),
        parallel=np.zeros(extents.shape, dtype=bool),
        unrolled=np.zeros(extents.shape, dtype=bool),
        vectorised=vector,
        accesses=tuple(accesses),
        flops=block.flops,
        transcendentals=block.transcendentals,
        executions=ones,
        workers=np.zeros(size),
        predicated=np.zeros(size),
        binding=np.array([int(c[3]) for c in columns], dtype=np.int8),
        launch=Launch(
            blocks=np.ceil(outputs / (threads * width)),
            threads=np.minimum(threads, np.ceil(outputs / width)),
            shared_bytes=np.zeros(size),
            registers=BASE_REGISTERS + words * width,
            stages=np.zeros(size),
            pipeline=ones,
            tensor_share=np.zeros(size),
        ),
    )
