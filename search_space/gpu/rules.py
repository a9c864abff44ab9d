"""Which rule takes which block on a GPU, in order of preference.

A state's pending blocks are visited from the outputs to the inputs (Ansor section 4.1); each rule
takes the last pending block, with the producers that belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from search_space.access import BlockInfo
from search_space.generate import Rule, SketchState
from search_space.gpu.elementwise import BindStep
from search_space.gpu.epilogue import RegisterTileStep, WriteBackStep
from search_space.gpu.shared_step import PipelineStep, StageStep
from search_space.gpu.tile_step import GpuFinishStep, GpuTileStep, is_tileable
from search_space.gpu.tiling import GpuTiling, Operand, gpu_axes
from search_space.hardware_gpu import GpuHardware
from search_space.rules.inline import covers, is_injective

GpuState = SketchState[GpuHardware]


def tile_with_consumer(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Tile the reduction that feeds an element-wise block, and end every tile with that block."""
    producer = _fusable_producer(state, block)
    if producer is None:
        return ()
    return (_tiled(state, producer, block),)


def tile(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Tile a reduction with reuse."""
    if not _wants_tiling(block, state):
        return ()
    return (_tiled(state, block, None),)


def bind(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Run whatever is left as a kernel of its own."""
    return (state.scheduled((block.name,), (BindStep(block, state.hardware),)),)


GPU_RULES: tuple[Rule[GpuHardware], ...] = (tile_with_consumer, tile, bind)


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
        operands.append(Operand(use, maker))
    tiling = GpuTiling(block, gpu_axes(block), tuple(operands), consumer is not None, state.hardware)
    if consumer is not None:
        names.append(consumer.name)
    steps = (
        RegisterTileStep(tiling, consumer),
        GpuTileStep(tiling),
        WriteBackStep(tiling, consumer),
        *(StageStep(tiling, operand) for operand in operands),
        PipelineStep(tiling),
        GpuFinishStep(tiling),
    )
    return state.scheduled(names, steps, "tiled" if consumer is None else "fused")


def _maker(state: GpuState, block: BlockInfo, buffer: str) -> BlockInfo | None:
    """Return the pending block that makes an operand for this block only, element by element."""
    for name in block.producers:
        producer = state.blocks[name]
        makes = any(write.name == buffer for write in producer.writes)
        alone = producer.consumers == (block.name,) and not producer.is_output
        if makes and alone and name in state.pending and is_injective(producer):
            return producer
    return None
