"""Packing of operands into panels that match the register tile.

before::

    ... B[k, j0*n + j1] ...

after (n columns of a register tile stand together)::

    parallel jo: for k: vector ji: B.panel[jo, k, ji] = B[k, jo*n + ji]
    ... B.panel[j0, k, j1] ...

The copy runs once before the computation, or per task, or per block of a task: then its part of the
panels is still in a near cache when it is read. A weight is packed once, when the model is compiled
(``tuner/graph/prepack.py``), which no call pays for.

Rows a power of two apart displace each other in the first cache level while lanes are gathered from them.
They are copied side by side first, in whole vectors::

    for jo: { for ji: for k0: vector k1: B.rows[ji, k] = B[jo*n + ji, k]
              for k: vector ji: B.panel[jo, k, ji] = B.rows[ji, k] }
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns
from search_space.nest import Access, Floats, LoopKind, LoopNest, Table, flags
from search_space.operands import rows_collide
from search_space.rules.epilogue import vector_annotate
from search_space.rules.places import ROOT
from search_space.steps import Memory, PlainStep
from search_space.tile_nest import panel_widths
from search_space.tiling import PACKED_AT_ROOT, PACKED_PER_BLOCK, PACKED_PER_TASK, UNPACKED, Tiling
from search_space.tvm_api import Schedule, tirx


@dataclass(frozen=True, slots=True, eq=False)
class PackStep(PlainStep):
    """Copy one operand into panels, where the decision says so.

    Attributes:
        tiling: The computation.
        position: Read position of the operand.
        producer: The block that makes the operand, where a compute-location step places it.
    """

    tiling: Tiling
    position: int
    producer: BlockInfo | None = None

    @property
    def use(self) -> BufferUse:
        """The operand, as it is read from the panels."""
        return self.tiling.panel_use(self.operand)

    @property
    def operand(self) -> BufferUse:
        """The operand, as the block reads it."""
        return next(u for u in self.tiling.block.reads if u.position == self.position)

    def _panel_dimensions(self) -> tuple[int, ...]:
        spatial = {a.iterator for a in self.tiling.axes if a.kind == LoopKind.SPATIAL}
        return tuple(d for d, s in enumerate(self.use.single) if s in spatial)

    def _order(self) -> tuple[list[int], list[int], list[int]]:
        """Return dimensions: outer spatial, reduction (or unit), panel, in packed order."""
        panels = list(self._panel_dimensions())
        rest = [d for d in range(len(self.use.shape)) if d not in panels]
        return panels, rest, panels

    def _widths(self, columns: Columns) -> list[int]:
        return [int(w) for w in panel_widths(self.tiling, self.use, columns)[0]]

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Read through a copy that is laid out, and walked, in panels."""
        where = int(self.tiling.pack_place(columns, self.position)[0])
        if where == UNPACKED:
            return
        widths = self._widths(columns)
        outer, middle, inner = self._order()
        inner = [d for d in inner if widths[d] > 1]
        groups = [self.tiling.group_of(self.use, d) for d in range(len(self.use.shape))]
        if max(groups) > 1:  # the lanes of an intrinsic lie side by side
            inner.sort(key=lambda d: self.use.single[d] == self.tiling.axes[self.tiling.vector].iterator)
        block = sch.get_sblock(self.tiling.block.name)
        if self._copies_rows_first():
            rows = sch.cache_read(block, self.position, "global", consumer_blocks=[block])
            memory.blocks[f"{self._role}.rows"] = rows
        if self.use is self.operand:
            copy = sch.cache_read(block, self.position, "global", consumer_blocks=[block])
        else:
            copy = sch.reindex(block, ("read", self.position))
        if self.producer is not None and int(columns.choice(f"{self.producer.name}.at")[0]) != ROOT:
            # Padded and packed in one pass.
            sch.compute_inline(sch.get_sblock(self.producer.name))

        iterators = list(sch.get(copy).iter_vars)
        # A reindexed copy has iterators of extent one that ``use`` leaves out.
        units = [i for i, v in enumerate(iterators) if int(v.dom.extent) == 1]
        units = units if len(iterators) > len(self.use.shape) else []

        def panels(*whole: Any) -> list[Any]:
            index = [v for i, v in enumerate(whole) if i not in units]
            return (
                [whole[i] for i in units]
                + [index[d] // widths[d] if widths[d] > 1 else index[d] for d in outer]
                + [index[d] // groups[d] if groups[d] > 1 else index[d] for d in middle]
                + [index[d] % widths[d] for d in inner]
                + [index[d] % groups[d] for d in middle if groups[d] > 1]
            )

        dtype = str(iterators[0].var.ty)
        index_map = tirx.IndexMap.from_func(panels, ndim=len(iterators), index_dtype=dtype)
        # In this order: TVM simplifies the new buffer indices by the block's new iterators.
        sch.transform_block_layout(copy, index_map)
        sch.transform_layout(copy, ("write", 0), index_map, assume_injective_transform=True)
        memory.blocks[self._role] = copy

    def _copies_rows_first(self) -> bool:
        """Report whether panels are gathered from rows that displace each other."""
        tiling, operand = self.tiling, self.operand
        along = tiling.axes[tiling.vector].iterator if tiling.vector >= 0 else -1
        gathered = along in operand.axes and tiling.group == 1 and self.producer is None
        return gathered and self.position not in tiling.constants and rows_collide(tiling.block, operand)

    @property
    def _role(self) -> str:
        return f"{self.tiling.block.name}.panel.{self.position}"

    def place(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Run the copy before the computation, or attach it to the loops that its panels serve."""
        where = int(self.tiling.pack_place(columns, self.position)[0])
        if where == UNPACKED:
            return
        copy = memory.blocks[self._role]
        outer, middle, inner = self._order()
        count = len(outer) + len(middle)
        inner = [d for d in inner if self._widths(columns)[d] > 1]
        grouped = any(self.tiling.group_of(self.use, d) > 1 for d in middle)
        if where == PACKED_AT_ROOT:
            loops = list(sch.get_loops(copy))
            # The outer panels and all but one of the reduction loops are shared among the threads.
            units = len(loops) - count - len(inner) - grouped
            shared = loops[: units + max(1, len(outer) + max(0, len(middle) - 1))]
            fused = sch.fuse(*shared) if len(shared) > 1 else shared[0]
            if int(sch.get(fused).extent) > 1:
                sch.parallel(fused)
        else:
            levels = memory.loops[self.tiling.block.name]
            sch.compute_at(copy, attach_loop(self.tiling, levels, columns, where), preserve_unit_loops=True)
        lanes = self.tiling.hardware.lanes(self.use.element_bytes)
        if self._copies_rows_first():
            rows = memory.blocks[f"{self._role}.rows"]
            panel = list(sch.get_loops(copy))[-2 - len(inner)]  # below it: along the rows, across them
            sch.compute_at(rows, panel, preserve_unit_loops=True)
            vector_annotate(sch, list(sch.get_loops(rows))[-1:], lanes, unroll=False)
        if grouped:
            self._vectorise_groups(sch, copy)
        elif inner:
            vector_annotate(sch, list(sch.get_loops(copy))[-1:], lanes, unroll=count > 0)

    def _vectorise_groups(self, sch: Schedule, copy: Any) -> None:
        """Move whole groups where they lie together, else interleave the rows that they come from."""
        *_, group = sch.get_loops(copy)
        if self.tiling.group_of(self.operand, len(self.operand.shape) - 1) > 1:
            sch.vectorize(group)
            return
        # LLVM makes shuffles of neighbouring stores: each panel row is a loop over lanes around a group.
        sch.unroll(group)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the copy; candidates that do not pack execute it zero times, as does a weight's copy."""
        use, operand = self.use, self.operand
        widths = panel_widths(self.tiling, use, columns)
        outer, middle, _ = self._order()
        size = columns.size
        dims = len(use.shape)
        depth = dims + len(outer)
        extents: Floats = np.ones((depth, size), np.float32).T
        read = Table(len(operand.shape), depth, size)
        write = np.eye(depth, dtype=np.float32)

        def moves(d: int, position: int, width: Floats | float) -> None:
            """Note how the operand's own indices change along one dimension of the panels."""
            axis = use.single[d]
            for own in np.flatnonzero(operand.coefficients[:, axis]).tolist() if axis >= 0 else ():
                read.put(own, position, width * float(operand.coefficients[own, axis]))

        for position, d in enumerate([*outer, *middle]):
            width: Floats | float = widths[:, d] if d in outer else 1.0
            extents[:, position] = use.shape[d] / width
            moves(d, position, width)
        for position, d in enumerate(outer, start=dims):
            extents[:, position] = widths[:, d]
            moves(d, position, 1.0)
        where = self.tiling.pack_place(columns, self.position)
        parallel = np.zeros((depth, size), dtype=bool)
        parallel[: max(1, len(outer) + max(0, len(middle) - 1))] = where == PACKED_AT_ROOT
        executions, tasks = self._attached(columns, where, extents, widths)
        shape: Floats = np.array([operand.shape], dtype=np.float32)
        return (
            LoopNest(
                stage="pack",
                extents=extents,
                kinds=np.zeros(depth, dtype=np.int8),
                parallel=parallel.T,
                unrolled=flags(size, depth),
                vectorised=flags(size, depth, depth - 1),
                accesses=(
                    Access(f"{use.name}.panel", use.element_bytes, True, False, extents, write[None]),
                    Access(
                        use.name, use.element_bytes, False, False, shape, read.coefficients, used=read.used
                    ),
                ),
                flops=0.0,
                transcendentals=0.0,
                executions=executions,
                workers=tasks,
                predicated=np.zeros(size, np.float32),
            ),
        )

    def _attached(
        self, columns: Columns, where: NDArray[np.int64], extents: Floats, widths: Floats
    ) -> tuple[Floats, Floats]:
        """Shrink the copy to one part where it is attached; return executions and workers: [N]."""
        tiling = self.tiling
        tiles = tiling.levels(columns)
        size = columns.size
        one = np.float32(1)
        spatial = tiling.spatial
        tasks: Floats = np.ones(size, np.float32)
        for i in spatial:
            tasks = tasks * tiles[i][:, 0]
        is_attached, is_per_block = where >= PACKED_PER_TASK, where == PACKED_PER_BLOCK
        at_root = np.float32(0 if self.position in tiling.constants else 1)
        executions: Floats = np.where(is_attached, tasks, at_root * (where == PACKED_AT_ROOT))
        swapped = columns.choice(tiling.order_name) == 1
        around: dict[int, Floats] = {}
        for i in spatial:
            # Whether the axis' S1 loop lies around the copy where it is attached per block.
            if i == tiling.vector or i in spatial[:-1]:
                inside = is_per_block
                if i != tiling.vector:
                    inside = inside & ~swapped
                elif i not in spatial[:-1]:
                    inside = inside & swapped
                around[i] = np.where(inside, tiles[i][:, 1], one)
                executions = executions * around[i]
        outer, _, _ = self._order()
        for position, d in enumerate(outer):
            for i in spatial:
                if tiling.axes[i].iterator != self.use.single[d]:
                    continue
                part = np.where(is_attached, tiles[i][:, 0], one)
                if i in around:
                    part = part * around[i]
                extents[:, position] = np.maximum(one, extents[:, position] / part)
        return executions, np.where(is_attached, tasks, np.float32(0))

    def workspace_bytes(self, columns: Columns) -> Floats:
        """Bytes of the panels."""
        where = self.tiling.pack_place(columns, self.position)
        return np.asarray((where != UNPACKED) * float(prod(self.use.shape) * self.use.element_bytes))


@dataclass(frozen=True, slots=True, eq=False)
class PlacePanelsStep(PlainStep):
    """Place the copies of all packed operands, once the loops that they may attach to exist."""

    packs: tuple[PackStep, ...]

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Place every copy."""
        for pack in self.packs:
            pack.place(sch, columns, memory)


def attach_loop(tiling: Tiling, levels: dict[str, list[Any]], columns: Columns, where: int) -> Any:
    """Return the loop that a copy is computed at.

    Per task that is the parallel loop. Per block it is the S1 loop of the vector axis when that runs
    outermost (panels of the operand with the vector axis serve all rows), else the last S1 loop but
    one (panels of the rows serve all columns).
    """
    if where == PACKED_PER_TASK:
        return levels["S0"][0]
    swapped = int(columns.choice(tiling.order_name)[0]) == 1
    if swapped and tiling.vector >= 0:
        return levels["S1"][0]
    return levels["S1"][-2] if len(levels["S1"]) > 1 else levels["S0"][0]
