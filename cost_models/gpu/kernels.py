"""Kernels of candidates: what they issue, move and occupy, for a whole population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cost_models.gpu.transactions import (
    SECTOR_BYTES,
    WARP,
    element_strides,
    lane_addresses,
    sectors,
    wavefronts,
)
from search_space.nest import Access, Binding, Bools, Floats, Launch, LoopKind, LoopNest, Scope

if TYPE_CHECKING:
    from search_space.hardware_gpu import GpuHardware

_L1_BYTES = 96 << 10
"""What a block may expect to find again in level 1 (it shares its memory with shared memory)."""
_MAX_MERGED = 4.0
"""Elements that the compiler merges into one load where an unrolled loop walks neighbours."""
_RESERVED_SHARED_BYTES = 1024.0
"""Shared memory that the system takes of every block (CUDA C++ Programming Guide, from sm_80 on)."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of N candidates; everything is [N] and counts the whole grid.

    Attributes:
        launch: Its launch.
        runs: Whether the candidate has it (0 or 1).
        flops: Operations, padding included.
        transcendentals: Calls of exp and the like.
        arithmetic: Warp instructions of the arithmetic.
        loads: Warp instructions of memory accesses.
        global_sectors: Sectors that warps ask for.
        global_lines: The fewest sectors that would do (perfect coalescing).
        l2_bytes: Bytes between level 2 and the multiprocessors.
        shared_wavefronts: Cycles of shared memory.
        shared_ideal: The same without bank conflicts.
        dram_bytes: Distinct bytes of global memory.
        cache_wavefronts: Cycles of level 1 for accesses of global memory.
        waits: Loads from global memory that a thread waits for (those of fetches are counted by stage).
        ilp: Independent multiply-adds of a thread.
        copies: Loads of a thread that are in flight in one stage.
        blocks_per_processor: Blocks that one multiprocessor holds.
        occupancy: Resident threads over those that it can hold.
        waves: Rounds of blocks.
        balance: Multiprocessors busy on average until the last block ends, over all.
        register_pressure: Registers wanted over those that a thread can have.
    """

    launch: Launch
    runs: Floats
    flops: Floats
    transcendentals: Floats
    arithmetic: Floats
    loads: Floats
    global_sectors: Floats
    global_lines: Floats
    l2_bytes: Floats
    shared_wavefronts: Floats
    shared_ideal: Floats
    dram_bytes: Floats
    cache_wavefronts: Floats
    waits: Floats
    ilp: Floats
    copies: Floats
    blocks_per_processor: Floats
    occupancy: Floats
    waves: Floats
    balance: Floats
    register_pressure: Floats


@dataclass(slots=True)
class _Sums:
    """Sums over the stages of one kernel."""

    flops: Floats
    transcendentals: Floats
    arithmetic: Floats
    loads: Floats
    global_sectors: Floats
    global_lines: Floats
    l2_bytes: Floats
    shared_wavefronts: Floats
    shared_ideal: Floats
    cache_wavefronts: Floats
    waits: Floats
    copies: Floats


def kernels_of(stages: Sequence[LoopNest], hardware: GpuHardware) -> list[Kernel]:
    """Analyse the kernels of a population.

    Args:
        stages: Stages in order; one with a launch starts a kernel.
        hardware: The GPU.

    Returns:
        The kernels in order.
    """
    groups: list[list[LoopNest]] = []
    for stage in stages:
        if stage.launch is not None or not groups:
            groups.append([])
        groups[-1].append(stage)
    return [_kernel(group, hardware) for group in groups]


def _kernel(group: list[LoopNest], hardware: GpuHardware) -> Kernel:
    size = group[0].size
    launch = group[0].launch
    assert launch is not None, "a kernel starts with a launch"
    sums = _Sums(*(np.zeros(size) for _ in range(12)))
    footprint: dict[str, Floats] = {}
    for stage in group:
        _add_stage(sums, footprint, stage, launch, hardware)
    main = group[0]
    threads = np.maximum(launch.threads, 1.0)
    warps = np.ceil(threads / WARP)
    registers = np.minimum(np.ceil(launch.registers / 8.0) * 8.0, hardware.thread_registers + 1.0)
    held = np.minimum.reduce(
        [
            np.full(size, float(hardware.processor_blocks)),
            np.floor(hardware.processor_threads / (warps * WARP)),
            np.floor(hardware.processor_registers / (registers * warps * WARP)),
            np.floor(hardware.processor_shared_bytes / (launch.shared_bytes + _RESERVED_SHARED_BYTES)),
        ]
    )
    held = np.maximum(held, 1.0)
    blocks = np.maximum(launch.blocks, 1.0)
    rounds = np.ceil(blocks / hardware.processors)
    available = np.minimum(np.floor(hardware.processor_registers / threads), hardware.thread_registers)
    return Kernel(
        launch=launch,
        runs=(main.executions > 0).astype(np.float64),
        flops=sums.flops,
        transcendentals=sums.transcendentals,
        arithmetic=sums.arithmetic,
        loads=sums.loads,
        global_sectors=sums.global_sectors,
        global_lines=sums.global_lines,
        l2_bytes=sums.l2_bytes,
        shared_wavefronts=sums.shared_wavefronts,
        shared_ideal=sums.shared_ideal,
        dram_bytes=np.asarray(sum(footprint.values(), start=np.zeros(size))),
        cache_wavefronts=sums.cache_wavefronts,
        waits=sums.waits,
        ilp=_independent(main),
        copies=sums.copies,
        blocks_per_processor=held,
        occupancy=held * warps * WARP / hardware.processor_threads,
        waves=blocks / (hardware.processors * held),
        balance=blocks / (hardware.processors * rounds),
        register_pressure=launch.registers / available,
    )


def _add_stage(
    sums: _Sums, footprint: dict[str, Floats], stage: LoopNest, launch: Launch, hardware: GpuHardware
) -> None:
    assert stage.binding is not None
    bound = stage.binding
    threads = np.prod(np.where(bound == Binding.THREAD, stage.extents, 1.0), axis=1)
    grid = np.prod(np.where(bound == Binding.BLOCK, stage.extents, 1.0), axis=1) * stage.executions
    own = np.prod(np.where(np.isin(bound, (Binding.SERIAL, Binding.VTHREAD)), stage.extents, 1.0), axis=1)
    warps = grid * np.ceil(threads / WARP)
    bodies = grid * threads * own
    sums.flops += bodies * stage.flops
    sums.transcendentals += bodies * stage.transcendentals
    sums.arithmetic += warps * own * np.ceil(stage.flops / 2.0)
    for access in stage.accesses:
        if access.scope == Scope.REGISTER:
            continue
        strides = element_strides(access, stage.size)
        count, width = _instructions(stage, strides)
        issued = warps * count
        sums.loads += issued
        addresses = lane_addresses(stage, strides, access.element_bytes)
        unit = width * access.element_bytes
        in_shared = _in_shared(access, stage.size)
        cycles = wavefronts(addresses, unit)
        lanes = np.minimum(threads, WARP)
        sums.shared_wavefronts += np.where(in_shared, issued * cycles, 0.0)
        sums.shared_ideal += np.where(in_shared, issued * np.maximum(1.0, lanes * unit / 128.0), 0.0)
        touched = np.where(in_shared, 0.0, issued * sectors(addresses))
        sums.global_sectors += touched
        lines = np.where(in_shared, 0.0, issued * np.maximum(1.0, sectors(addresses) / 4.0))
        sums.cache_wavefronts += lines
        if stage.stage != "fetch" and not access.is_write:
            sums.waits += np.where(in_shared | (stage.executions == 0), 0.0, count)
        sums.global_lines += np.where(
            in_shared, 0.0, issued * np.maximum(1.0, lanes * unit * _moves(stage, strides) / SECTOR_BYTES)
        )
        block_bytes = _region_bytes(access, stage, per_block=True)
        cached = np.where(block_bytes <= _L1_BYTES, grid * block_bytes, touched * SECTOR_BYTES)
        sums.l2_bytes += np.where(in_shared, 0.0, np.minimum(touched * SECTOR_BYTES, cached))
        whole = np.where(in_shared | (stage.executions == 0), 0.0, _region_bytes(access, stage, False))
        footprint[access.name] = np.maximum(footprint.get(access.name, 0.0), whole)
        if stage.stage == "fetch" and not access.is_write:
            sums.copies += np.where(stage.executions > 0, count, 0.0)


def _in_shared(access: Access, size: int) -> Bools:
    if access.scope != Scope.SHARED:
        return np.zeros(size, dtype=bool)
    if access.pitch is None:
        return np.ones(size, dtype=bool)
    return np.asarray(np.broadcast_to(access.pitch, (size,)) > 0)


def _instructions(stage: LoopNest, strides: Floats) -> tuple[Floats, Floats]:
    """Return how many accesses a thread issues, and elements of each: [N] twice.

    A value is kept in a register across unrolled loops that do not change its address, and an
    unrolled or vector loop over neighbours becomes wider accesses.
    """
    assert stage.binding is not None
    virtual = stage.binding == Binding.VTHREAD
    loops = np.isin(stage.binding, (Binding.SERIAL, Binding.VTHREAD))
    still = strides == 0
    kept = still & (stage.unrolled | virtual[None, :] | stage.vectorised)
    count = np.prod(np.where(loops[None, :] & ~kept, stage.extents, 1.0), axis=1)
    merged = np.ones(stage.size)
    for place in np.flatnonzero(loops):
        near = (strides[:, place] == 1) & (stage.unrolled[:, place] | stage.vectorised[:, place])
        extent = stage.extents[:, place]
        limit = np.where(stage.vectorised[:, place], 16.0, _MAX_MERGED)
        power = np.exp2(np.floor(np.log2(np.gcd(extent.astype(np.int64), 16))))
        merged = np.maximum(merged, np.where(near, np.minimum(power, limit), 1.0))
    return count / merged, merged


def _moves(stage: LoopNest, strides: Floats) -> Floats:
    """Return [N]: 1 where lanes read different elements, a 32nd where all read the same one."""
    assert stage.binding is not None
    threads = stage.binding == Binding.THREAD
    return np.where(np.any((strides != 0) & threads[None, :] & (stage.extents > 1), axis=1), 1.0, 1.0 / WARP)


def _region_bytes(access: Access, stage: LoopNest, per_block: bool) -> Floats:
    """Return [N]: distinct bytes that a block, or the whole grid, touches."""
    assert stage.binding is not None
    size = stage.size
    shape = np.broadcast_to(access.shape, (size, access.shape.shape[-1]))
    coefficients = np.broadcast_to(access.coefficients, (size, shape.shape[1], stage.extents.shape[1]))
    reach = stage.extents - 1.0
    if per_block:
        reach = np.where(stage.binding == Binding.BLOCK, 0.0, reach)
    region = np.minimum(shape, 1.0 + np.einsum("ndl,nl->nd", np.abs(coefficients), reach))
    if not per_block and not np.any(stage.binding == Binding.BLOCK):
        region = shape  # a copy shows one box; together they move all
    return np.asarray(np.prod(region, axis=1) * access.element_bytes)


def _independent(main: LoopNest) -> Floats:
    """Return [N]: results of a thread, each a chain of its own."""
    assert main.binding is not None
    own = (main.kinds == LoopKind.SPATIAL) & np.isin(main.binding, (Binding.SERIAL, Binding.VTHREAD))
    return np.asarray(np.prod(np.where(own[None, :], main.extents, 1.0), axis=1))
