"""Element-wise blocks at the root: share rows among threads, vectorise the contiguous axis.

before::

    for i, j: D[i, j] = A[i, j] + 1

after::

    parallel i0: for i1, j0: vector j1: D[...] = A[...] + 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice, divisors
from search_space.hardware import Hardware
from search_space.nest import Access, Bools, LoopNest, Table, flags
from search_space.rules.streaming import mark_streamed, stream_slots, streamed
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class ElementwiseStep(PlainStep):
    """Schedule one spatial block on its own."""

    block: BlockInfo
    hardware: Hardware

    @property
    def _extents(self) -> tuple[int, ...]:
        return tuple(a.extent for a in self.block.axes)

    @property
    def _flat(self) -> bool:
        """Whether all loops can be one: every buffer is walked in the same contiguous order."""
        shapes = {u.shape for u in (*self.block.writes, *self.block.reads)}
        order = all(
            u.affine and all(s == d or e == 1 for d, (s, e) in enumerate(zip(u.single, u.shape, strict=True)))
            for u in (*self.block.writes, *self.block.reads)
        )
        return len(shapes) == 1 and order and not self.block.conditional

    def _inner_extent(self) -> int:
        return prod(self._extents) if self._flat else self._extents[-1]

    def slots(self) -> tuple[Slot, ...]:
        """Own the number of tasks, the vector width, and how a large result is stored."""
        outer = self._outer_extent(self._widths()[0])
        tasks = [d for d in divisors(outer) if d <= 64 * self.hardware.cores]
        picked = sorted({1, *(at_least(tasks, self.hardware.cores * grain) for grain in (1, 2, 4, 16))})
        return (
            choice(f"{self.block.name}.tasks", tuple(picked)),
            choice(f"{self.block.name}.lanes", self._widths()),
            *stream_slots(self.block, self.hardware),
        )

    def _outer_extent(self, lanes: int) -> int:
        if self._flat:
            return prod(self._extents) // lanes
        return prod(self._extents[:-1])

    def _widths(self) -> tuple[int, ...]:
        if not self._extents:
            return (1,)
        widest = self.hardware.lanes(max(u.element_bytes for u in (*self.block.writes, *self.block.reads)))
        contiguous = self.block.writes[0].last_coefficient(len(self._extents) - 1) == 1
        widths = [w for w in (widest, widest // 2, 1) if w >= 1 and self._inner_extent() % w == 0]
        return tuple(dict.fromkeys(widths)) if contiguous else (1,)

    def valid(self, columns: Columns) -> Bools:
        """Accept where the tasks divide the loops that they share; only vectors are streamed."""
        tasks = columns.choice(f"{self.block.name}.tasks")
        lanes = columns.choice(f"{self.block.name}.lanes")
        outer = prod(self._extents) // lanes if self._flat else np.full(columns.size, self._outer_extent(1))
        return np.asarray(
            (outer % tasks == 0) & (~streamed(self.block, self.hardware, columns) | (lanes > 1))
        )

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Fuse, split by tasks, vectorise."""
        loops = list(sch.get_loops(sch.get_sblock(self.block.name)))
        if not loops:
            return
        tasks = int(columns.choice(f"{self.block.name}.tasks")[0])
        lanes = int(columns.choice(f"{self.block.name}.lanes")[0])
        if self._flat:
            fused = sch.fuse(*loops) if len(loops) > 1 else loops[0]
            outer, _, inner = sch.split(fused, [tasks, None, lanes])
        elif len(loops) > 1:
            fused = sch.fuse(*loops[:-1]) if len(loops) > 2 else loops[0]
            outer, _ = sch.split(fused, [tasks, None])
            _, inner = sch.split(loops[-1], [None, lanes])
        else:
            outer, inner = sch.split(loops[0], [None, lanes])
            tasks = 1
        if tasks > 1:
            sch.parallel(outer)
        if streamed(self.block, self.hardware, columns)[0]:
            mark_streamed(sch, list(sch.get_loops(sch.get_sblock(self.block.name)))[:-1][:2][-1])
        if lanes > 1:
            sch.vectorize(inner)
        elif self.block.conditional:
            # Parts in which the condition is settled become loops of their own: LLVM makes vectors of them.
            middle = list(sch.get_loops(sch.get_sblock(self.block.name)))[-2]
            sch.annotate(middle, "pragma_loop_partition_hint", 1)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the stage."""
        return (
            spatial_nest(
                self.block,
                columns.choice(f"{self.block.name}.lanes").astype(np.float32),
                np.ones(columns.size, np.float32),
                columns.choice(f"{self.block.name}.tasks").astype(np.float32),
            ),
        )


def spatial_nest(
    block: BlockInfo,
    lanes: np.ndarray,
    executions: np.ndarray,
    workers: np.ndarray,
    stage: str = "elementwise",
    leading: Sequence[np.ndarray] = (),
) -> LoopNest:
    """Describe a block run with its own loops, the last one split by a vector width.

    Args:
        block: The block.
        lanes: [N] vector width of the last loop.
        executions: [N] how often it runs; the loops below are divided evenly among the executions.
        workers: [N] parallel tasks.
        stage: Role name.
        leading: For each of the first axes, [N] how far one execution runs along it, where it is not all
            of it.

    Returns:
        The nest.
    """
    size = len(lanes)
    count = len(block.axes)
    extents = np.ones((count + 1, size), np.float32)
    for i, axis in enumerate(block.axes):
        extents[i] = leading[i] if i < len(leading) else axis.extent
    if count:
        extents[count - 1] /= lanes
        extents[count] = lanes
    accesses = []
    for use in (*block.writes, *block.reads):
        table = Table(len(use.shape), count + 1, size)
        for d, i in np.argwhere(use.coefficients).tolist():
            step = float(use.coefficients[d, i])
            table.put(d, i, step * lanes if i == count - 1 else step)
            if i == count - 1:
                table.put(d, count, step)
        shape = np.array([use.shape], dtype=np.float32)
        accesses.append(
            Access(
                use.name, use.element_bytes, use.is_write, False, shape, table.coefficients, used=table.used
            )
        )
    kinds = np.array(
        [int(a.kind) for a in block.axes] + [int(block.axes[-1].kind) if count else 0], dtype=np.int8
    )
    return LoopNest(
        stage=stage,
        extents=extents.T,
        kinds=kinds,
        parallel=flags(size, count + 1),
        unrolled=flags(size, count + 1),
        vectorised=flags(size, count + 1, count),
        accesses=tuple(accesses),
        flops=block.flops,
        transcendentals=block.transcendentals,
        executions=executions,
        workers=workers,
        predicated=np.zeros(size, np.float32),
    )


def at_least(values: list[int], wanted: int) -> int:
    """Return the first of some increasing values that reaches a bound, else the last."""
    return next((v for v in values if v >= wanted), values[-1])
