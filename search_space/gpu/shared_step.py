"""Staging of operands in shared memory: all threads of a block fetch, then all read.

before::

    for k0: ... A[i, k0*n + k1] ...

after::

    for k0 (software pipeline):
      for f0: bind threadIdx.x f1: vector f2: A.shared[...] = A[...]
      ... A.shared[i, k1] ...

Rows of a stage may be padded by 16 bytes against bank conflicts. With a pipeline of n stages the copies for
stage s + n - 1 run, asynchronously, while stage s is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_space.decisions import Columns
from search_space.gpu.limits import shared_scope
from search_space.gpu.tile_nest import fetch_nest
from search_space.gpu.tiling import PADDING_BYTES, GpuTiling, Operand
from search_space.nest import LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class StageStep(PlainStep):
    """Read one operand through shared memory, where the decision says so.

    Attributes:
        tiling: The computation.
        operand: The operand; its maker is computed while it is fetched.
    """

    tiling: GpuTiling
    operand: Operand

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Insert the copy and share it among the threads."""
        tiling, operand = self.tiling, self.operand
        if not tiling.is_staged(operand, columns)[0]:
            if operand.maker is not None:
                sch.compute_inline(sch.get_sblock(operand.maker.name))
            return
        scope = shared_scope(tiling.hardware, float(tiling.shared_bytes(columns)[0]))
        width = int(tiling.fetch_width(operand, columns)[0])
        threads = int(tiling.threads(columns)[0])
        copy = sch.cache_read(sch.get_sblock(tiling.block.name), operand.use.position, scope)
        if operand.maker is not None:
            sch.compute_inline(sch.get_sblock(operand.maker.name))
        levels = memory.loops[tiling.block.name]
        sch.compute_at(copy, levels["R0"][0], preserve_unit_loops=True)
        fetch_together(sch, copy, len(operand.use.shape), threads, width)
        if int(columns.choice(tiling.pad_name(operand))[0]) and len(operand.use.shape) > 1:
            padding = PADDING_BYTES // operand.use.element_bytes
            sch.storage_align(copy, 0, axis=-2, factor=2 * padding, offset=padding)
        memory.blocks[f"{tiling.block.name}.stage.{operand.use.position}"] = copy

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the fetch; candidates that do not stage the operand execute it zero times."""
        return (fetch_nest(self.tiling, self.operand, columns),)


@dataclass(frozen=True, slots=True, eq=False)
class PipelineStep(PlainStep):
    """Overlap the copies of later stages with the computation of the current one."""

    tiling: GpuTiling

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Annotate the loop over stages."""
        tiling = self.tiling
        depth = int(columns.choice(tiling.pipeline_name)[0])
        copies = sum(bool(tiling.is_staged(operand, columns)[0]) for operand in tiling.operands)
        if depth > 1:
            loop = memory.loops[tiling.block.name]["R0"][0]
            sch.annotate(loop, "software_pipeline_stage", [0] * copies + [depth - 1])
            sch.annotate(loop, "software_pipeline_order", list(range(copies + 1)))
            sch.annotate(loop, "software_pipeline_async_stages", [0])


def fetch_together(sch: Schedule, copy: Any, dimensions: int, threads: int, width: int) -> None:
    """Share a copy among the threads of a block, neighbouring vectors by neighbouring threads.

    Args:
        sch: The schedule.
        copy: A copying block whose innermost loops walk its buffer.
        dimensions: How many of its loops do.
        threads: Threads of the block.
        width: Elements of one access; it must divide the innermost loop.
    """
    loops = list(sch.get_loops(copy))[-dimensions:] if dimensions else []
    fused = sch.fuse(*loops) if len(loops) > 1 else loops[0]
    if width > 1:
        # Split off first, so that the guard of an incomplete last round is the same for all lanes.
        fused, lanes = sch.split(fused, [None, width])
        sch.vectorize(lanes)
    _, inner = sch.split(fused, [None, threads])
    sch.bind(inner, "threadIdx.x")
