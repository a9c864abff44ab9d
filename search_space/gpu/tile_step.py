"""Multi-level tiling with thread binding (Ansor section 4.1, rules 3 and 4: SSSRRSRS).

before::

    for i, j, k: C[i, j] += A[i, k] * B[k, j]

after::

    bind blockIdx.x i0*j0:                            # S0
      bind vthread.x i1*j1: bind threadIdx.x i2*j2:   # S1 S2
        for k0:                                       # R0
          A.shared, B.shared = ...                    # fetched by all threads of the block
          for k1: for i3, j3: for k2: for i4, j4:     # R1 S3 R2 S4
            C.local[...] += A.shared[...] * B.shared[...]
        C[...] = C.local[...]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_space.decisions import Columns, Slot
from search_space.gpu.tile_nest import compute_nest
from search_space.gpu.tiling import GpuTiling
from search_space.nest import Bools, LoopKind, LoopNest
from search_space.rules.tiling import loops_of_axes, split_axes
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class GpuTileStep(PlainStep):
    """Split, reorder and bind the loops of one block."""

    tiling: GpuTiling

    def slots(self) -> tuple[Slot, ...]:
        """Own the decisions of the tiling."""
        return self.tiling.slots()

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of a launch."""
        return self.tiling.valid(columns)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the computation."""
        return (compute_nest(self.tiling, columns),)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Split, reorder and bind; leave the loops of each level in ``memory``."""
        tiling = self.tiling
        block = sch.get_sblock(tiling.block.name)
        loops = loops_of_axes(sch, tiling.axes, list(sch.get_loops(block)))
        parts = split_axes(sch, loops, [tiling.tile_name(i) for i in range(len(tiling.axes))], columns)
        levels: dict[str, list[Any]] = {}
        for name, axes, part in (
            ("S0", tiling.spatial, 0),
            ("S1", tiling.spatial, 1),
            ("S2", tiling.spatial, 2),
            ("R0", tiling.reduction, 0),
            ("R1", tiling.reduction, 1),
            ("S3", tiling.spatial, 3),
            ("R2", tiling.reduction, 2),
            ("S4", tiling.spatial, 4),
        ):
            levels[name] = [parts[i][part] for i in axes]
        sch.reorder(*(loop for loops in levels.values() for loop in loops))
        for name, thread in (("S0", "blockIdx.x"), ("S1", "vthread.x"), ("S2", "threadIdx.x")):
            fused = sch.fuse(*levels[name]) if len(levels[name]) > 1 else levels[name][0]
            sch.bind(fused, thread)
            levels[name] = [fused]
        if len(levels["R0"]) > 1:
            levels["R0"] = [sch.fuse(*levels["R0"])]
        memory.loops[tiling.block.name] = levels


@dataclass(frozen=True, slots=True, eq=False)
class GpuFinishStep(PlainStep):
    """Unroll the register tile and cut the initialisation off, after everything is attached."""

    tiling: GpuTiling

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Annotate the kernel and decompose the reduction."""
        tiling = self.tiling
        levels = memory.loops[tiling.block.name]
        steps = int(tiling.unrolled_statements(columns)[0])
        block = sch.get_sblock(tiling.block.name)
        start = sch.decompose_reduction(block, levels["R0"][0])
        above = 3  # the loops of the grid, the virtual threads and the threads
        unroll_upto(sch, levels["R1"][0], steps)
        tile = int(tiling.accumulators(columns)[0])
        for inner in (start, memory.blocks[f"{tiling.block.name}.epilogue"]):
            for loop in list(sch.get_loops(inner))[above : above + 1]:
                unroll_upto(sch, loop, tile)


def unroll_upto(sch: Schedule, loop: Any, statements: int) -> None:
    """Let the CUDA compiler unroll a loop nest of up to so many statements.

    Only this nest: TVM itself must unroll the ends of a pipeline, whose waits need constants.
    """
    sch.annotate(loop, "pragma_auto_unroll_max_step", statements)
    sch.annotate(loop, "pragma_unroll_explicit", 0)


def is_tileable(tiling: GpuTiling) -> bool:
    """Report whether a block is worth tiles: a reduction with reuse over enough outputs."""
    outputs = [tiling.axes[i].extent for i in tiling.spatial if tiling.axes[i].kind == LoopKind.SPATIAL]
    return tiling.block.is_reduction and tiling.block.has_reuse and bool(outputs)
