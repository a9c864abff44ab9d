"""Which rule takes which block on a CPU, in order of preference.

A state's pending blocks are visited from the outputs to the inputs (Ansor section 4.1); each rule
takes the last pending block, with the producers that belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from search_space.access import BlockInfo
from search_space.generate import Rule, SketchState
from search_space.hardware import Hardware
from search_space.rules.compute_location import ComputeLocationStep
from search_space.rules.elementwise import ElementwiseStep
from search_space.rules.epilogue import AttachEpilogueStep, CacheWriteStep, FuseConsumerStep
from search_space.rules.inline import covers, is_injective
from search_space.rules.packing import PackStep, PlacePanelsStep
from search_space.rules.rfactor import FactorStep
from search_space.rules.row_vectors import TurnStep, turn_rows
from search_space.rules.rows import RowsStep, row_axes
from search_space.rules.tensorize import TensorizeStep, TensorTileStep, tensor_tilings
from search_space.rules.tile_parts import tile_columns, tile_panels, tile_rows
from search_space.rules.tiling import FinishTileStep, TileStep, is_tileable
from search_space.steps import Step
from search_space.tensorize import Intrinsic
from search_space.tiling import Tiling, make_tiling

CpuState = SketchState[Hardware]
KERNELS = 4
"""A kernel of this part of the second cache level may be read again for every row of tiles; with a larger
one the product as a whole is offered too."""


def tile_with_consumer(state: CpuState, block: BlockInfo) -> Sequence[CpuState]:
    """Tile the reduction that feeds an element-wise block, and end every tile with that block."""
    if not is_injective(block):
        return ()
    candidates = [
        state.blocks[p]
        for p in block.producers
        if p in state.pending and state.blocks[p].is_reduction and state.blocks[p].consumers == (block.name,)
    ]
    wanted = [c for c in candidates if wants_tiling(c, state) and covers(c, block)]
    # TVM moves a block only to where all that it reads is computed.
    if len(wanted) != 1 or block.producers != (wanted[0].name,):
        return ()
    return _tiled(state, wanted[0], block)


def tile(state: CpuState, block: BlockInfo) -> Sequence[CpuState]:
    """Tile a reduction with reuse, or one whose outputs are contiguous in its input."""
    if not wants_tiling(block, state):
        return ()
    return _tiled(state, block, None)


def rows(state: CpuState, block: BlockInfo) -> Sequence[CpuState]:
    """Run a chain of passes over rows together."""
    chain = _row_chain(state, block)
    members = tuple(n for n in state.blocks if n in chain)
    if not any(state.blocks[n].is_reduction for n in (*members, block.name)):
        return ()
    count = row_axes(block, state.blocks, members)
    if count == 0:
        return ()
    total = 1
    for axis in block.axes[:count]:
        total *= axis.extent
    if total < state.hardware.cores:
        return ()
    step = RowsStep(tuple(state.blocks[n] for n in (*members, block.name)), count, state.hardware)
    return (state.scheduled((*members, block.name), (step,), "rows"),)


def factor(state: CpuState, block: BlockInfo) -> Sequence[CpuState]:
    """Factor a reduction over tasks and lanes."""
    if not block.is_reduction or len(block.writes) != 1:
        return ()
    return (state.scheduled((block.name,), (FactorStep(block, state.hardware),), "factored"),)


def elementwise(state: CpuState, block: BlockInfo) -> Sequence[CpuState]:
    """Schedule whatever is left on its own."""
    return (state.scheduled((block.name,), (ElementwiseStep(block, state.hardware),)),)


def parts_of_products(state: CpuState, block: BlockInfo) -> Sequence[CpuState]:
    """Run transforms and product of a transformed convolution part by part, and one after the other."""
    by_rows = tile_rows(block, state.blocks, state.hardware)
    by_columns = tile_columns(block, state.blocks, state.hardware)
    found: list[CpuState] = []
    by_panels = tile_panels(block, state.blocks, state.hardware)
    in_blocks = by_columns is not None and by_columns.tiling.is_blocked
    columns = "blockcolumns" if in_blocks else "tilecolumns"
    for word, step in (("tilerows", by_rows), (columns, by_columns), ("tilepanels", by_panels)):
        if step is not None:
            moved = () if step.moved is None else (step.moved.name,)
            names = (*moved, step.tiling.block.name, *(b.name for b in step.outputs))
            if all(name in state.pending for name in names):
                found.append(state.scheduled(names, (step,), word))
    if by_panels is not None:
        return found
    if not found or (by_rows is not None and by_rows.kernel_bytes <= state.hardware.l2_bytes / KERNELS):
        return found
    return (*found, *next(derived for rule in PLAIN_RULES if (derived := rule(state, block))))


PLAIN_RULES: tuple[Rule[Hardware], ...] = (tile_with_consumer, tile, rows, factor, elementwise)
CPU_RULES: tuple[Rule[Hardware], ...] = (parts_of_products, *PLAIN_RULES)


def wants_tiling(block: BlockInfo, state: CpuState) -> bool:
    """Report whether register tiles suit a block: reuse, or vectors along its outputs."""
    if not block.is_reduction or len(block.writes) != 1:
        return False
    tiling = make_tiling(block, state.hardware)
    if not is_tileable(tiling):
        return False
    if block.has_reuse:
        return True
    if tiling.vector < 0:
        return False
    iterator = tiling.axes[tiling.vector].iterator
    return all(u.last_coefficient(iterator) == 1 for u in block.reads if iterator in u.axes)


def _tiled(state: CpuState, block: BlockInfo, consumer: BlockInfo | None) -> tuple[CpuState, ...]:
    """One state for every intrinsic that can compute the block, one for vectors, one for turned rows."""
    is_fused = consumer is not None
    tensorised = tensor_tilings(block, state.hardware, is_fused, state.constants)
    plain = make_tiling(block, state.hardware, is_fused, state.constants)
    turn = turn_rows(block, state.hardware, _placed(state, block), is_fused, state.constants)
    return (
        *(_with_tiling(state, block, consumer, tiling, intrinsic) for tiling, intrinsic in tensorised),
        _with_tiling(state, block, consumer, plain),
        *((_with_tiling(state, block, consumer, turn.tiling, turn=turn),) if turn is not None else ()),
    )


def _placed(state: CpuState, block: BlockInfo) -> list[BlockInfo]:
    """Return the pending producers of a block that may be computed wherever it needs them."""
    found = (state.blocks[name] for name in block.producers if name in state.pending)
    return [p for p in found if is_injective(p) and p.consumers == (block.name,)]


def _with_tiling(
    state: CpuState,
    block: BlockInfo,
    consumer: BlockInfo | None,
    tiling: Tiling,
    intrinsic: Intrinsic | None = None,
    turn: TurnStep | None = None,
) -> CpuState:
    names = [block.name]
    inputs: list[ComputeLocationStep] = []
    for producer in _placed(state, block):
        inputs.append(ComputeLocationStep(producer, tiling))
        names.append(producer.name)
    makers = {step.producer.writes[0].name: step.producer for step in inputs}
    packs = tuple(
        PackStep(tiling, use.position, makers.get(use.name))
        for use in block.reads
        if use.position in tiling.packable
    )
    steps: list[Step] = list(packs)
    if consumer is None:
        steps.append(CacheWriteStep(tiling))
    else:
        steps.append(FuseConsumerStep(tiling, consumer))
        names.append(consumer.name)
    if turn is not None:
        steps += [turn, TileStep(turn.numbers)]
    else:
        steps.append(TileStep(tiling) if intrinsic is None else TensorTileStep(tiling))
    steps.append(AttachEpilogueStep(tiling, consumer))
    steps.append(PlacePanelsStep(packs))
    steps.extend(inputs)
    steps.append(FinishTileStep(tiling) if intrinsic is None else TensorizeStep(tiling, intrinsic))
    word = "tiled" if consumer is None else "fused"
    suffix = ".rows" if turn is not None else f".{intrinsic.name}" if intrinsic is not None else ""
    return state.scheduled(names, steps, word + suffix)


def _row_chain(state: CpuState, block: BlockInfo) -> set[str]:
    """Collect the pending producers of a block whose every consumer is in the chain."""
    found: set[str] = set()
    members = {block.name}
    changed = True
    while changed:
        changed = False
        for name in state.pending:
            candidate = state.blocks[name]
            if name in members or candidate.is_output or not candidate.consumers:
                continue
            if all(c in members for c in candidate.consumers):
                if wants_tiling(candidate, state) and candidate.has_reuse:
                    continue
                members.add(name)
                found.add(name)
                changed = True
    return found
