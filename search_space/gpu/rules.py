"""Which rule takes which block on a GPU, in order of preference.

A state's pending blocks are visited from the outputs to the inputs (Ansor section 4.1); each rule
takes the last pending block, with the producers that belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from search_space.access import BlockInfo
from search_space.generate import Rule, SketchState
from search_space.gpu.elementwise import BindStep
from search_space.gpu.epilogue import RegisterTileStep, WriteBackStep
from search_space.gpu.reduction import CrossThreadStep
from search_space.gpu.rows import GpuRowsStep
from search_space.gpu.shared_step import PipelineStep, StageStep
from search_space.gpu.stage_access import stage_access
from search_space.gpu.tensor.rule import on_tensor_cores
from search_space.gpu.tile_step import GpuFinishStep, GpuTileStep, is_tileable
from search_space.gpu.tiling import GpuTiling, Operand, gpu_axes
from search_space.hardware_gpu import GpuHardware
from search_space.rules.inline import covers, is_injective
from search_space.rules.rows import row_axes
from search_space.steps import Step

GpuState = SketchState[GpuHardware]

MIN_ROWS = 16
"""Fewer rows leave most multiprocessors idle: their sums are shared among blocks instead."""
MIN_TERMS = 8
"""Shorter sums are left to one thread."""


def tile_with_consumer(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Tile the reduction that feeds an element-wise block, and end every tile with that block.

    Where tensor cores can compute it, that is a sketch of its own.
    """
    producer = _fusable_producer(state, block)
    if producer is None:
        return ()
    return (*on_tensor_cores(state, producer, block), _tiled(state, producer, block))


def tile(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Tile a reduction with reuse, on CUDA cores and, where it can be, on tensor cores."""
    if not _wants_tiling(block, state):
        return ()
    return (*on_tensor_cores(state, block, None), _tiled(state, block, None))


def rows(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Run a chain of passes over rows in one kernel."""
    chain = _row_chain(state, block)
    members = tuple(n for n in state.blocks if n in chain)
    if not any(state.blocks[n].is_reduction for n in (*members, block.name)):
        return ()
    count = row_axes(block, state.blocks, members)
    total = prod(axis.extent for axis in block.axes[:count])
    if count == 0 or total < MIN_ROWS:
        return ()
    step = GpuRowsStep(tuple(state.blocks[n] for n in (*members, block.name)), count, state.hardware)
    if not (step.fills_warps and step.fits_somewhere):
        return ()
    return (state.scheduled((*members, block.name), (step,), "rows"),)


def factor_with_consumer(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Share the reduction that feeds an element-wise block, and end it with that block."""
    if not is_injective(block):
        return ()
    found = [
        state.blocks[p]
        for p in block.producers
        if p in state.pending
        and state.blocks[p].consumers == (block.name,)
        and covers(state.blocks[p], block)
        and factor(state, state.blocks[p])
    ]
    if len(found) != 1:
        return ()
    step = CrossThreadStep(found[0], state.hardware, block)
    return (state.scheduled((found[0].name, block.name), (step,), "shared"),)


def factor(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Share a reduction among threads and blocks."""
    if not block.is_reduction or len(block.writes) != 1 or block.reduction_size < MIN_TERMS:
        return ()
    return (state.scheduled((block.name,), (CrossThreadStep(block, state.hardware),), "shared"),)


def bind(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Run whatever is left as a kernel of its own."""
    return (state.scheduled((block.name,), (BindStep(block, state.hardware),)),)


GPU_RULES: tuple[Rule[GpuHardware], ...] = (
    tile_with_consumer,
    tile,
    rows,
    factor_with_consumer,
    factor,
    bind,
)


def _fusable_producer(state: GpuState, block: BlockInfo) -> BlockInfo | None:
    """Return the tiled reduction whose only consumer a block is, element by element."""
    if not is_injective(block):
        return None
    found = [
        state.blocks[p]
        for p in block.producers
        if p in state.pending
        and state.blocks[p].consumers == (block.name,)
        and _wants_tiling(state.blocks[p], state)
        and covers(state.blocks[p], block)
    ]
    return found[0] if len(found) == 1 else None


def _wants_tiling(block: BlockInfo, state: GpuState) -> bool:
    if not block.is_reduction or len(block.writes) != 1:
        return False
    return is_tileable(GpuTiling(block, gpu_axes(block), (), False, state.hardware))


def _tiled(state: GpuState, block: BlockInfo, consumer: BlockInfo | None) -> GpuState:
    names = [block.name]
    operands: list[Operand] = []
    for use in block.reads:
        if use.position < 0 or not use.shape:
            continue
        maker = _maker(state, block, use.name)
        if maker is not None:
            names.append(maker.name)
        operands.append(Operand(use, maker, stage_access(block, use)))
    tiling = GpuTiling(block, gpu_axes(block), tuple(operands), consumer is not None, state.hardware)
    if consumer is not None:
        names.append(consumer.name)
    steps: tuple[Step, ...] = (
        RegisterTileStep(tiling, consumer),
        GpuTileStep(tiling),
        WriteBackStep(tiling, consumer),
        *(StageStep(tiling, operand) for operand in operands),
        PipelineStep(tiling),
        GpuFinishStep(tiling),
    )
    return state.scheduled(names, steps, "tiled" if consumer is None else "fused")


def _row_chain(state: GpuState, block: BlockInfo) -> set[str]:
    """Collect the pending producers of a block whose every consumer is in the chain."""
    members = {block.name}
    changed = True
    while changed:
        changed = False
        for name in state.pending:
            candidate = state.blocks[name]
            if name in members or candidate.is_output or len(candidate.writes) != 1:
                continue
            alone = candidate.consumers and all(c in members for c in candidate.consumers)
            if alone and not _wants_tiling(candidate, state):
                members.add(name)
                changed = True
    return members - {block.name}


def _maker(state: GpuState, block: BlockInfo, buffer: str) -> BlockInfo | None:
    """Return the pending block that makes an operand for this block only, element by element."""
    for name in block.producers:
        producer = state.blocks[name]
        makes = any(write.name == buffer for write in producer.writes)
        alone = producer.consumers == (block.name,) and not producer.is_output
        if makes and alone and name in state.pending and is_injective(producer):
            return producer
    return None
