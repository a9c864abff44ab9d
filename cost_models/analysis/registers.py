"""Vector lanes, accumulators and instructions of the innermost part of a nest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost_models.analysis.footprint import Footprint
from cost_models.analysis.loops import Buffer, Loops, Row, Scalar


@dataclass(frozen=True, slots=True)
class RegisterTile:
    """The block that runs between two steps of the reduction, and how it maps to instructions.

    The tile lies inside the outermost reduction loop below which nothing branches (all loops are
    unrolled, vectorised or trivial); without such a loop accumulators live in memory.

    Attributes:
        lanes: [N] extent of the vector loop (1: scalar code).
        vectors: [N] registers that one vector takes.
        lane_fraction: [N] lanes used of those issued.
        strides: For each buffer, [N] elements between neighbouring lanes (0: the same element).
        accumulators: [N] vector registers that hold results.
        reduction: [N] steps of the whole reduction.
        reduces: [N] 1.0 where a reduction loop has more than one iteration.
        in_registers: [N] 1.0 where results stay in registers over a reduction loop, or there is none.
        iterations: [N] body executions of the tile.
        multiply_adds: [N] vector instructions of the tile for one arithmetic operation of the body.
        loads: [N] load instructions of the tile.
        stores: [N] store instructions of the tile.
        row_vectors: [N] vectors of the widest contiguous input of the tile.
        straight_line: [N] body copies (vectors) in the branch-free part.
        reduction_unroll: [N] reduction steps in the branch-free part.
        branches: [N] executions of the branch-free part in one execution of the nest.
    """

    lanes: Row
    vectors: Row
    lane_fraction: Row
    strides: tuple[Scalar, ...]
    accumulators: Row
    reduction: Row
    reduces: Row
    in_registers: Row
    iterations: Row
    multiply_adds: Row
    loads: Row
    stores: Row
    row_vectors: Row
    straight_line: Row
    reduction_unroll: Row
    branches: Row


def register_tile_of(
    buffers: tuple[Buffer, ...],
    footprints: tuple[Footprint, ...],
    loops: Loops,
    vector_bytes: int,
) -> RegisterTile:
    """Analyse the innermost part of a nest.

    Args:
        buffers: Accesses of the nest.
        footprints: Their footprints.
        loops: The nest.
        vector_bytes: Width of a vector register.

    Returns:
        The tile.
    """
    one = np.ones(loops.size, np.float32)
    vector_loops = [(loop, mask) for loop, mask in enumerate(loops.vectorised) if mask is not None]
    lanes = one
    for loop, mask in vector_loops:
        lanes = lanes * loops.growth(loop, mask)
    width = _lanes_per_register(buffers, vector_bytes)
    vectors = np.ceil(lanes * np.float32(1.0 / width))
    strides = tuple(_lane_stride(buffer, loops, vector_loops) for buffer in buffers)
    # Instructions for one element: a vector's share where lanes are neighbours, one otherwise.
    share = vectors / lanes
    shares = [_blend((stride == 1.0) * one, share, one) for stride in strides]

    straight_line, flat_below, branches, reduction_unroll = _straight_line(loops)
    accumulators = vectors
    in_registers = np.zeros(loops.size, np.float32)
    iterations, row_vectors = lanes, one
    loads = one * 0.0
    stores = one * 0.0
    for buffer, stride in zip(buffers, strides, strict=True):
        # Body by body: one instruction for a contiguous or repeated vector, one a lane otherwise.
        cost = _blend(
            ((stride == 1.0) | (stride == 0.0)) * one, _blend((stride == 0.0) * one, one, vectors), lanes
        )
        if buffer.is_write:
            stores = stores + cost
        elif not (buffer.is_local and any(other.is_write and other.name == buffer.name for other in buffers)):
            loads = loads + cost
    has_reduction = np.zeros(loops.size, np.float32)
    reduction = one
    for loop in range(loops.depth - 1, -1, -1):
        if not loops.is_reduction[loop]:
            continue
        reduction = reduction * loops.extents[loop]
        has_reduction = np.maximum(has_reduction, loops.moves[loop])
        here = flat_below[loop + 1] * loops.moves[loop]
        if not here.any():
            continue
        held = one * 0.0
        needed = one * 0.0
        row = one * 0.0
        for buffer, footprint, each in zip(buffers, footprints, shares, strict=True):
            instructions = footprint.elements[loop + 1] * each
            if buffer.is_write:
                held = held + instructions
            elif not any(other.is_write and other.name == buffer.name for other in buffers):
                needed = needed + instructions
                row = np.maximum(row, instructions * (each < 1.0))
        accumulators = _blend(here, held, accumulators)
        loads = _blend(here, needed, loads)
        # Unrolled reduction steps follow one another: only the innermost one's row is live at once.
        row_vectors = _blend(here * (1.0 - in_registers), row, row_vectors)
        iterations = _blend(here, loops.inner[loop + 1], iterations)
        in_registers = np.maximum(in_registers, here)
    in_memory = has_reduction * (np.float32(1.0) - in_registers)
    loads = loads + in_memory * stores
    stores = stores * (1.0 - in_registers)
    return RegisterTile(
        lanes=lanes,
        vectors=vectors,
        lane_fraction=lanes / (vectors * np.float32(width)),
        strides=strides,
        accumulators=accumulators,
        reduction=reduction,
        reduces=has_reduction,
        in_registers=np.float32(1.0) - in_memory,
        iterations=iterations,
        multiply_adds=iterations * share,
        loads=loads,
        stores=stores,
        row_vectors=row_vectors,
        straight_line=straight_line * share,
        reduction_unroll=reduction_unroll,
        branches=branches,
    )


def _lanes_per_register(buffers: tuple[Buffer, ...], vector_bytes: int) -> float:
    widest = max((buffer.element_bytes for buffer in buffers if buffer.is_write), default=4)
    return float(max(1, vector_bytes // widest))


def _lane_stride(buffer: Buffer, loops: Loops, vector_loops: list[tuple[int, Row]]) -> Row:
    stride = np.zeros(loops.size, np.float32)
    for loop, mask in vector_loops:
        for term in buffer.terms[loop]:
            stride = stride + mask * loops.moves[loop] * (term.step * buffer.strides[term.dimension])
    return stride


def _straight_line(loops: Loops) -> tuple[Row, list[Row], Row, Row]:
    """Return body copies of the branch-free part, whether each cut is branch-free, branches, reduction."""
    alive: Row = np.ones(loops.size, np.float32)
    flat_below = [alive]
    copies: Row = alive
    reduction: Row = alive
    for loop in range(loops.depth - 1, -1, -1):
        flat: Row = np.float32(1.0) - loops.moves[loop]
        for mask in (loops.vectorised[loop], loops.unrolled[loop]):
            if mask is not None:
                flat = np.maximum(flat, mask)
        alive = alive * flat
        if alive.any():
            growth = loops.growth(loop, alive)
            copies = copies * growth
            if loops.is_reduction[loop]:
                reduction = reduction * growth
        flat_below.append(alive)
    flat_below.reverse()
    return copies, flat_below, loops.inner[0] / copies, reduction


def _blend(mask: Row, yes: Scalar, no: Scalar) -> Row:
    """Choose by a 0/1 mask; twice as fast as ``np.where`` on short rows."""
    return np.asarray(yes * mask + no * (1.0 - mask), dtype=np.float32)
