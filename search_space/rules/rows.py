"""Chains of passes over rows (softmax, layer norm, row sums): one row's passes run together.

before::

    for i, k: M[i] = max(M[i], A[i, k])
    for i, k: S[i] += exp(A[i, k] - M[i])
    for i, j: D[i, j] = exp(A[i, j] - M[i]) / S[i]

after::

    parallel i0: for i1:
      for k0: vector k1: M.rf[k1] = max(M.rf[k1], A[i, k0*n + k1]);  for k1: M = max(M, M.rf[k1])
      for k0: vector k1: S.rf[k1] += exp(...);                       for k1: S += S.rf[k1]
      for j0: vector j1: D[i, ...] = ...

The split of a reduction into vector lanes is Ansor's rule 6 (reduction factorisation). Passes over the
pieces of a row (see ``rewrites/pieces.py``) run together: :mod:`search_space.rules.row_pieces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice, divisors
from search_space.hardware import Hardware
from search_space.nest import Bools, LoopNest
from search_space.rules.elementwise import at_least, spatial_nest
from search_space.rules.epilogue import vector_annotate
from search_space.rules.prefetching import (
    BOTH,
    NOTHING,
    mark_prefetch,
    prefetch_slots,
    prefetched,
    second_reader,
)
from search_space.rules.rfactor import factor_lanes, loop_roles, reduction_lanes, vectorise_partial
from search_space.rules.row_chain import RowChainStep
from search_space.rules.row_pieces import piecewise, run_together
from search_space.rules.streaming import mark_streamed, stream_slots, streamed
from search_space.steps import Memory
from search_space.tvm_api import Schedule

INTERLEAVED_ROWS = (1, 2, 4, 8)
"""Rows whose passes take turns: while the lanes of one row are added up, which is all latency, the next
row's pass runs. Their buffers must fit the first cache level together."""


@dataclass(frozen=True, slots=True, eq=False)
class RowsStep(RowChainStep):
    """Compute a chain of blocks row by row.

    Attributes:
        hardware: Limits.
    """

    hardware: Hardware

    def _lane_name(self, block: BlockInfo) -> str:
        return f"{block.name}.lanes"

    @property
    def _tasks_name(self) -> str:
        return f"{self.last.name}.tasks"

    def slots(self) -> tuple[Slot, ...]:
        """Own the tasks, the rows that take turns, the lanes of reductions, how a large result is stored."""
        # A thread gets one run of consecutive tasks, so even one task a row costs little.
        tasks = list(divisors(self.row_count))
        picked = sorted({1, *(at_least(tasks, self.hardware.cores * grain) for grain in (1, 2, 4, 16))})
        # Rows that take turns must be a box of every buffer: they lie along one axis.
        innermost = self.last.axes[self.rows - 1].extent
        found = [
            choice(self._tasks_name, tuple(picked)),
            choice(self.rows_name, tuple(r for r in INTERLEAVED_ROWS if innermost % r == 0)),
        ]
        for block in self.chain:
            if block.is_reduction:
                extent = block.axes[block.reduction[-1]].extent
                found.append(choice(self._lane_name(block), reduction_lanes(extent, block, self.hardware)))
        return (*found, *self._stream_slots(), *prefetch_slots(self, self.hardware))

    def _stream_slots(self) -> tuple[Slot, ...]:
        width = self.hardware.lanes(self.last.writes[0].element_bytes)
        is_vector = not self.last.is_reduction and self._is_vector(self.last, width)
        return stream_slots(self.last, self.hardware) if is_vector else ()

    def valid(self, columns: Columns) -> Bools:
        """Accept where tasks and interleaved rows divide the rows; what passes the caches is not fetched."""
        together = columns.choice(self._tasks_name) * columns.choice(self.rows_name)
        found = np.asarray(self.row_count % together == 0)
        if self._stream_slots():
            wanted = prefetched(self, self.hardware, columns) == BOTH
            found &= ~(wanted & streamed(self.last, self.hardware, columns))
        return found

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Factor the reductions, share the rows, attach the passes, vectorise them."""
        partial: dict[str, list[Any]] = {}
        for block in self.chain:
            if block.is_reduction:
                lanes = int(columns.choice(self._lane_name(block))[0])
                if lanes > 1:
                    rv = sch.get_sblock(block.name)
                    partial[block.name] = factor_lanes(sch, rv, list(sch.get_loops(rv))[-1], lanes)
        tasks = int(columns.choice(self._tasks_name)[0])
        rows = int(columns.choice(self.rows_name)[0])
        final = sch.get_sblock(self.last.name)
        loops = list(sch.get_loops(final))
        if self.last.name in partial:
            roles = loop_roles(sch, final, loops)
            loops = [loop for loop, role in zip(loops, roles, strict=True) if role != "reduction"]
        fused = sch.fuse(*loops[: self.rows]) if self.rows > 1 else loops[0]
        outer, row, _ = sch.split(fused, [tasks, None, rows])
        if tasks > 1:
            sch.parallel(outer)
        if self._stream_slots() and streamed(self.last, self.hardware, columns)[0]:
            mark_streamed(sch, row)
        for block in reversed(self.chain):
            if block is not self.last:
                sch.compute_at(sch.get_sblock(block.name), row, preserve_unit_loops=True)
            for rv in reversed(partial.get(block.name, [])):
                sch.compute_at(rv, row, preserve_unit_loops=True)
        members = piecewise(self.chain, self.rows)
        passes = [rv for m in members for rv in (*partial.get(m.name, ()), sch.get_sblock(m.name))]
        if passes:
            run_together(sch, passes, self.rows + (members[0].name in partial), 2)
        for block in self.chain:
            above = 3 if block in members else 2
            width = self.hardware.lanes(block.writes[0].element_bytes)
            for rv in partial.get(block.name, []):
                vectorise_partial(sch, rv, above, width)
            if not block.is_reduction and self._is_vector(block, width):
                inner = list(sch.get_loops(sch.get_sblock(block.name)))[above:]
                vector_annotate(sch, inner[-1:], width, unroll=False)
        self._mark_prefetch(sch, columns, rows)

    def _mark_prefetch(self, sch: Schedule, columns: Columns, together: int) -> None:
        what = int(prefetched(self, self.hardware, columns)[0])
        found = second_reader(self)
        if what == NOTHING or found is None:
            return
        block, operand = found
        loops = list(sch.get_loops(sch.get_sblock(block.name)))
        mark_prefetch(sch, loops[-2], operand, together, self.rows - 1, what)

    @staticmethod
    def _is_vector(block: BlockInfo, width: int) -> bool:
        """Whether a pass is made of whole vectors; of what is not, LLVM makes better ones than TVM."""
        return not block.conditional and block.axes[-1].extent % width == 0

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe every pass: over as many rows at once as take turns, again and again."""
        tasks = columns.choice(self._tasks_name).astype(np.float32)
        together = columns.choice(self.rows_name).astype(np.float32)
        turns = np.float32(self.row_count) / together
        ones = np.ones(columns.size, np.float32)
        rows = [*(ones for _ in range(self.rows - 1)), together]
        found = []
        for block in self.chain:
            if block.is_reduction:
                lanes = columns.choice(self._lane_name(block)).astype(np.float32)
            else:
                lanes = ones * _widest(
                    block.axes[-1].extent, self.hardware.lanes(block.writes[0].element_bytes)
                )
            found.append(spatial_nest(block, lanes, turns, tasks, "rows", rows))
        return tuple(found)


def _widest(extent: int, lanes: int) -> int:
    while lanes > 1 and extent % lanes:
        lanes //= 2
    return max(1, lanes)


def row_axes(last: BlockInfo, blocks: dict[str, BlockInfo], chain: tuple[str, ...]) -> int:
    """Return how many leading axes every block of a chain shares with its last block (0: none).

    A row axis indexes the same leading dimension of every buffer that the chain passes on.
    """
    if last.is_reduction:
        rows = len(last.spatial)
        if last.spatial != tuple(range(rows)):
            return 0
    else:
        rows = len(last.axes)
    members = [*chain, last.name]
    for name in members:
        block = blocks[name]
        if block.is_reduction:
            leading = len(block.spatial)
            if block.spatial != tuple(range(leading)):
                return 0
            rows = min(rows, leading)
    for name in members:
        block = blocks[name]
        if len(block.axes) < rows or any(block.axes[d].extent != last.axes[d].extent for d in range(rows)):
            return 0
        passed = [u for u in (*block.writes, *block.reads) if u.is_write or _made_by(u.name, blocks, members)]
        for use in passed:
            for d in range(rows):
                if use.axes and d < len(use.single) and use.shape[d] > 1 and use.single[d] != d:
                    return 0
    return rows


def _made_by(buffer: str, blocks: dict[str, BlockInfo], members: list[str]) -> bool:
    return any(w.name == buffer for m in members for w in blocks[m].writes)
