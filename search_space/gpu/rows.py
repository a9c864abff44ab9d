"""Chains of passes over rows (softmax, layer norm): the threads of a block share a row.

before::

    for i, k: M[i] = max(M[i], A[i, k])
    for i, k: S[i] += exp(A[i, k] - M[i])
    for i, j: D[i, j] = exp(A[i, j] - M[i]) / S[i]

after::

    bind blockIdx.x i0: bind threadIdx.y i1:
      for k0: bind threadIdx.x k1: M.shared = max(M.shared, A[...])     # across threads
      for k0: bind threadIdx.x k1: S.shared += exp(...)
      for j0: bind threadIdx.x j1: D[...] = ...

TVM reduces across the threads of a warp by shuffles, across warps through shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice, divisors
from search_space.gpu.allreduce import allreduce_bytes
from search_space.gpu.limits import BASE_REGISTERS, fits_launch
from search_space.gpu.reduction_nest import shared_row_nest
from search_space.hardware_gpu import GpuHardware
from search_space.nest import Bools, Floats, Launch, LoopNest
from search_space.rules.rfactor import loop_roles
from search_space.rules.row_chain import RowChainStep
from search_space.steps import Memory
from search_space.tvm_api import Schedule

ROW_THREADS = (32, 64, 128, 256, 512, 1024)
ROWS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, eq=False)
class GpuRowsStep(RowChainStep):
    """Compute a chain of blocks row by row.

    Attributes:
        hardware: Limits.
    """

    hardware: GpuHardware

    @property
    def _shared_axis(self) -> int:
        """Position of the axis that rows of one block lie along: the last one with several.

        Split after the axes are fused, TVM would lose track of three or more of them.
        """
        several = [i for i, axis in enumerate(self.last.axes[: self.rows]) if axis.extent > 1]
        return several[-1] if several else self.rows - 1

    @property
    def _threads_name(self) -> str:
        return f"{self.last.name}.threads"

    def slots(self) -> tuple[Slot, ...]:
        """Own the threads of a row and the rows of a block."""
        longest = max(self._row_length(block) for block in self.chain)
        threads = tuple(t for t in ROW_THREADS if t <= self.hardware.block_threads and t < 2 * longest)
        rows = tuple(r for r in ROWS if r in divisors(self.last.axes[self._shared_axis].extent))
        return (choice(self._threads_name, threads or ROW_THREADS[:1]), choice(self.rows_name, rows))

    @property
    def fills_warps(self) -> bool:
        """Whether some pass has work for every thread of a warp; short sums are better left to one thread."""
        return max(self._row_length(block) for block in self.chain) >= self.hardware.warp

    @property
    def fits_somewhere(self) -> bool:
        """Whether one row of every intermediate result fits the shared memory of a block."""
        passed = [b.writes[0] for b in self.chain if b is not self.last]
        one_row = sum(prod(u.shape) / self.row_count * u.element_bytes for u in passed)
        return one_row + 4096 <= self.hardware.static_shared_bytes

    def _row_length(self, block: BlockInfo) -> int:
        return prod(a.extent for a in block.axes[self.rows :])

    def _shared_bytes(self, columns: Columns) -> Floats:
        """Bytes of the intermediate rows and of the sums across warps: [N]."""
        rows = columns.choice(self.rows_name).astype(np.float64)
        threads = columns.choice(self._threads_name).astype(np.float64)
        total = np.zeros(columns.size)
        for block in self.chain:
            if block is not self.last:
                use = block.writes[0]
                total += prod(use.shape) / self.row_count * use.element_bytes * rows
            if block.is_reduction:
                written = block.writes[0]
                total += allreduce_bytes(
                    self.hardware, threads, rows, written.dtype, written.element_bytes, True
                )
        return total

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of a launch; shared rows are declared statically."""
        threads = columns.choice(self._threads_name) * columns.choice(self.rows_name)
        shared = self._shared_bytes(columns)
        fits = fits_launch(
            self.hardware, threads.astype(np.float64), shared, np.full(columns.size, BASE_REGISTERS)
        )
        return fits & (shared <= self.hardware.static_shared_bytes)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Share the rows among blocks, attach the passes, share each pass among the threads."""
        threads = int(columns.choice(self._threads_name)[0])
        rows = int(columns.choice(self.rows_name)[0])
        final = sch.get_sblock(self.last.name)
        loops = list(sch.get_loops(final))
        place = self._shared_axis
        several, row = sch.split(loops[place], [None, rows], preserve_unit_iters=True)
        around = [*loops[:place], several, *loops[place + 1 : self.rows]]
        sch.reorder(*around, row)
        outer = sch.fuse(*around) if len(around) > 1 else several
        sch.bind(outer, "blockIdx.x")
        sch.bind(row, "threadIdx.y")
        for block in reversed(self.chain[:-1]):
            rv = sch.get_sblock(block.name)
            sch.set_scope(rv, 0, "shared")
            sch.compute_at(rv, row, preserve_unit_loops=True)
        for block in self.chain:
            self._share(sch, sch.get_sblock(block.name), block, threads)

    def _share(self, sch: Schedule, rv: Any, block: BlockInfo, threads: int) -> None:
        """Share one pass among the threads of a row."""
        own = list(sch.get_loops(rv))[2:]
        if block.is_reduction:
            roles = loop_roles(sch, rv, own)
            own = [loop for loop, role in zip(own, roles, strict=True) if role == "reduction"]
        if not own:
            own = [sch.add_unit_loop(rv)]
        work = sch.fuse(*own) if len(own) > 1 else own[0]
        _, inner = sch.split(work, [None, threads], preserve_unit_iters=True)
        sch.bind(inner, "threadIdx.x")

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe every pass; the first one starts the kernel."""
        threads = columns.choice(self._threads_name).astype(np.float64)
        rows = columns.choice(self.rows_name).astype(np.float64)
        blocks = self.row_count / rows
        launch = Launch(
            blocks=blocks,
            threads=threads * rows,
            shared_bytes=self._shared_bytes(columns),
            registers=np.full(columns.size, BASE_REGISTERS),
            stages=np.zeros(columns.size),
            pipeline=np.ones(columns.size),
            tensor_share=np.zeros(columns.size),
        )
        passed = {w.name for block in self.chain[:-1] for w in block.writes}
        return tuple(
            shared_row_nest(
                block,
                self.rows,
                blocks,
                rows,
                threads,
                passed,
                launch if position == 0 else None,
            )
            for position, block in enumerate(self.chain)
        )
