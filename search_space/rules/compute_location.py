"""Where the padded (or otherwise materialised) input of a tiled block is computed.

before::

    for h, w, c: P[h, w, c] = in_range(h, w) ? X[h - 1, w - 1, c] : 0
    tiled consumer of P

after, by decision::

    root:  parallel h: P[...] = ...           then the consumer
    S0:    parallel task: P.part = ...; blocks of the task
    S1:    parallel task: for block: P.part = ...; the block
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice
from search_space.nest import Floats, LoopNest
from search_space.rules.elementwise import spatial_nest
from search_space.rules.epilogue import vector_annotate
from search_space.rules.places import BLOCK, ROOT, TASK
from search_space.steps import Memory, PlainStep
from search_space.tiling import Tiling
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class ComputeLocationStep(PlainStep):
    """Attach one producer to its tiled consumer."""

    producer: BlockInfo
    tiling: Tiling

    @property
    def slot_name(self) -> str:
        """Name of the location slot."""
        return f"{self.producer.name}.at"

    def slots(self) -> tuple[Slot, ...]:
        """Own the location."""
        # TVM attaches exactly only what each iterator writes along a dimension of its own.
        plain = self.producer.writes[0].is_plain
        return (choice(self.slot_name, (ROOT, TASK, BLOCK) if plain else (ROOT,)),)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Move the producer, then vectorise it."""
        where = int(columns.choice(self.slot_name)[0])
        if where != ROOT and self._is_packed(columns)[0]:
            return  # the packing copy has taken it in
        block = sch.get_sblock(self.producer.name)
        lanes = self.tiling.hardware.lanes(self.producer.writes[0].element_bytes)
        if where == ROOT:
            loops = list(sch.get_loops(block))
            if len(loops) > 1:
                fused = sch.fuse(*loops[:-1]) if len(loops) > 2 else loops[0]
                if int(sch.get(fused).extent) > 1:
                    sch.parallel(fused)
                loops = [fused, loops[-1]]
            vector_annotate(sch, loops[-1:], lanes, unroll=False)
            return
        levels = memory.loops[self.tiling.block.name]
        at = levels["S0"][0] if where == TASK else levels["S1"][-1]
        before = len(sch.get_loops(block))
        sch.compute_at(block, at, preserve_unit_loops=True)
        inner = list(sch.get_loops(block))[-before:]
        vector_annotate(sch, inner, lanes, unroll=False)

    def _is_packed(self, columns: Columns) -> np.ndarray:
        """Whether the operand that this block makes is copied into panels: [N]."""
        name = self.producer.writes[0].name
        use = next(u for u in self.tiling.block.reads if u.name == name)
        if use.position not in self.tiling.packable:
            return np.zeros(columns.size, dtype=bool)
        return np.asarray(self.tiling.pack_place(columns, use.position) > 0)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the producer; attached, it runs per task or block on that part's region."""
        where = columns.choice(self.slot_name)
        tiles = self.tiling.levels(columns)
        size = columns.size
        tasks: Floats = np.ones(size, np.float32)
        blocks: Floats = np.ones(size, np.float32)
        for i in self.tiling.spatial:
            tasks = tasks * tiles[i][:, 0]
            blocks = blocks * tiles[i][:, 0] * tiles[i][:, 1]
        one = np.float32(1)
        executions = np.where(where == ROOT, one, np.where(where == TASK, tasks, blocks))
        executions *= ~((where != ROOT) & self._is_packed(columns))
        rows = np.float32(prod(a.extent for a in self.producer.axes[:-1]))
        workers = np.where(where == ROOT, rows, tasks)
        extent = self.producer.axes[-1].extent
        lanes = self.tiling.hardware.lanes(self.producer.writes[0].element_bytes)
        while lanes > 1 and extent % lanes:
            lanes //= 2
        nest = spatial_nest(self.producer, np.full(size, lanes, np.float32), executions, workers, "pad")
        region = self._region(columns, where)
        extents = nest.extents
        for i in range(len(self.producer.axes)):
            last = i == len(self.producer.axes) - 1
            extents[:, i] = np.ceil(region[:, i] / lanes) if last else region[:, i]
        return (
            LoopNest(
                nest.stage,
                extents,
                nest.kinds,
                nest.parallel,
                nest.unrolled,
                nest.vectorised,
                nest.accesses,
                nest.flops,
                nest.transcendentals,
                executions,
                workers,
                nest.predicated,
            ),
        )

    def _region(self, columns: Columns, where: np.ndarray) -> np.ndarray:
        """Return [N, D]: how much of each dimension of the producer one execution covers."""
        tiling = self.tiling
        tiles = tiling.levels(columns)
        use = next(u for u in tiling.block.reads if u.name == self.producer.writes[0].name)
        spatial = tiling.spatial
        region = np.ones((len(use.shape), columns.size), np.float32)
        is_root, is_task = where == ROOT, where == TASK
        for i, axis in enumerate(tiling.axes):
            source = use.group_coefficients if axis.outer_group else use.coefficients
            more: np.ndarray | float = axis.extent - 1.0
            if i in spatial:
                below_task = axis.extent / tiles[i][:, 0]
                below_block = below_task / tiles[i][:, 1]
                covered = np.where(
                    is_root, np.float32(axis.extent), np.where(is_task, below_task, below_block)
                )
                more = covered - np.float32(1)
            for d in np.flatnonzero(source[:, axis.iterator]).tolist():
                region[d] += abs(float(source[d, axis.iterator])) * more
        whole = np.minimum(region, np.array(use.shape, dtype=np.float32)[:, None]).T
        return whole * np.array([tiling.group_of(use, d) for d in range(len(use.shape))], dtype=np.float32)
