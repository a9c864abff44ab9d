"""The feature columns of GPU candidates, computed for all rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cost_models.features.columns import Column
from cost_models.gpu.analytic import KernelSeconds, kernel_seconds
from cost_models.gpu.kernels import Kernel, kernels_of
from cost_models.gpu.transactions import SECTOR_BYTES
from search_space.nest import Floats, ProgramNests

if TYPE_CHECKING:
    from search_space.hardware_gpu import GpuHardware

GPU_FEATURE_VERSION = 2
"""Raised whenever a column changes; models of another version are refused."""

_MAIN: tuple[tuple[str, str, bool, str], ...] = (
    ("blocks", "blocks", True, "Thread blocks"),
    ("threads", "threads", True, "Threads of a block"),
    ("warps", "warps", True, "Warps of a block"),
    ("lane_use", "1", False, "Threads over lanes of their warps"),
    ("shared_bytes", "bytes", True, "Shared memory of a block"),
    ("shared_share", "1", False, "Shared memory of a block over what a block may have"),
    ("registers", "registers", True, "Estimated registers of a thread"),
    ("register_pressure", "1", True, "Registers wanted over those that a thread can have"),
    ("pipeline", "1", True, "Stages between global and shared memory in flight"),
    ("tensor_share", "1", False, "Fraction of the arithmetic on tensor cores"),
    ("stages", "1", True, "Tiles that a block fetches one after the other; 0 without shared memory"),
    ("waits", "1", True, "Loads of a thread from global memory outside of fetches"),
    ("ilp", "1", True, "Independent results of a thread"),
    ("copies", "1", True, "Loads of a thread for one stage"),
    ("resident", "blocks", True, "Blocks that a multiprocessor holds"),
    ("occupancy", "1", False, "Resident threads over those that a multiprocessor can hold"),
    ("waves", "1", True, "Rounds of blocks"),
    ("wave_use", "1", False, "Rounds over whole rounds: 1 if the last one is full"),
    ("balance", "1", False, "Multiprocessors busy on average until the last block ends, over all"),
    ("flops", "flop", True, "Operations, padding included"),
    ("transcendentals", "1", True, "Calls of exp, erf, tanh"),
    ("loads", "1", True, "Memory instructions of warps"),
    ("loads_per_fma", "1", True, "Memory instructions for each arithmetic instruction"),
    ("coalescing", "1", False, "Fewest sectors that would do over sectors asked for"),
    ("sectors", "bytes", True, "Bytes of global memory that warps ask for"),
    ("l2_bytes", "bytes", True, "Bytes between level 2 and the multiprocessors"),
    ("dram_bytes", "bytes", True, "Distinct bytes of global memory"),
    ("l2_reuse", "1", True, "Bytes from level 2 for each distinct byte"),
    ("intensity", "flop/byte", True, "Operations for each byte from level 2"),
    ("cache_wavefronts", "cycles", True, "Cycles of level 1 for accesses of global memory"),
    ("shared_wavefronts", "cycles", True, "Cycles of shared memory"),
    ("bank_conflicts", "1", True, "Cycles of shared memory over those without conflicts"),
    ("shared_per_fma", "1", True, "Cycles of shared memory for each arithmetic instruction"),
    ("dram_share", "1", False, "Distinct bytes over level 2"),
)

_DRAFT = ("arithmetic", "issue", "shared", "l2", "dram", "latency")


def _columns() -> tuple[Column, ...]:
    found = [Column(f"main_{name}", unit, log, f"{text} (main kernel).") for name, unit, log, text in _MAIN]
    found += [
        Column("reported_registers", "registers", True, "Compiled registers of a thread, or predicted."),
        Column("reported_spill_bytes", "bytes", True, "Spilled bytes of a thread, the same way."),
        Column("program_kernels", "1", False, "Kernels."),
        Column("program_flops", "flop", True, "Operations that the workload needs."),
        Column("program_waste", "1", True, "Operations over useful operations."),
        Column("program_other_bytes", "bytes", True, "Bytes that the other kernels move through level 2."),
        Column("program_other_share", "1", False, "Draft: seconds of the other kernels over the total."),
        Column("draft_nanoseconds", "ns", True, "Run time by the draft model."),
        Column("draft_efficiency", "1", False, "Useful operations by the draft over the float32 peak."),
    ]
    found += [
        Column(f"draft_{name}", "1", False, f"Draft: seconds of {name} over the total of the main kernel.")
        for name in _DRAFT
    ]
    return tuple(found)


GPU_COLUMNS = _columns()
"""All columns in matrix order."""
GPU_COLUMN_INDEX = {column.name: place for place, column in enumerate(GPU_COLUMNS)}


def extract_gpu(
    nests: ProgramNests, hardware: GpuHardware
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute features and draft of GPU candidates.

    Args:
        nests: N candidates of any GPU sketch.
        hardware: The GPU.

    Returns:
        [N, F] finite features, columns as in :data:`GPU_COLUMNS`, and [N] draft seconds. Each row depends
        on its candidate only.
    """
    kernels = kernels_of(nests.stages, hardware)
    seconds = [kernel_seconds(kernel, hardware) for kernel in kernels]
    totals = np.stack([terms.total for terms in seconds])
    main = np.argmax(np.stack([_work(kernel) for kernel in kernels]), axis=0)
    rows = np.arange(nests.size)
    values: dict[str, Floats] = {}
    tables = [_main_values(k, hardware) for k in kernels]
    for name, *_ in _MAIN:
        values[f"main_{name}"] = np.stack([table[name] for table in tables])[main, rows]
    draft = np.maximum(totals.sum(axis=0), 1e-9)
    own = totals[main, rows]
    moved = np.stack([k.l2_bytes * k.runs for k in kernels])
    flops = np.sum([k.flops * k.runs for k in kernels], axis=0)
    useful = max(nests.useful_flops, 1.0)
    # Before anything was reported: the estimate, and no spills (cost_models/gpu/reported.py).
    values["reported_registers"] = values["main_registers"]
    values["reported_spill_bytes"] = np.zeros(nests.size)
    values["program_kernels"] = np.sum([k.runs for k in kernels], axis=0)
    values["program_flops"] = np.full(nests.size, useful)
    values["program_waste"] = flops / useful
    values["program_other_bytes"] = moved.sum(axis=0) - moved[main, rows]
    values["program_other_share"] = 1.0 - own / draft
    values["draft_nanoseconds"] = draft * 1e9
    values["draft_efficiency"] = useful / draft / hardware.fp32_flops
    for name in _DRAFT:
        part = np.stack([_term(terms, name) for terms in seconds])[main, rows]
        values[f"draft_{name}"] = part / np.maximum(own, 1e-12)
    table = np.empty((nests.size, len(GPU_COLUMNS)), np.float32)
    for place, column in enumerate(GPU_COLUMNS):
        value = values[column.name]
        table[:, place] = np.log2(1.0 + value) if column.is_log else value
    return table, draft.astype(np.float32)


def _term(terms: KernelSeconds, name: str) -> Floats:
    value: Floats = getattr(terms, name)
    return value


def _work(kernel: Kernel) -> Floats:
    """Rank kernels by operations, then by bytes."""
    work = kernel.flops + 20.0 * kernel.transcendentals + 1e-3 * kernel.l2_bytes
    return np.asarray(kernel.runs * work)


def _main_values(kernel: Kernel, hardware: GpuHardware) -> dict[str, Floats]:
    launch = kernel.launch
    warps = np.ceil(launch.threads / hardware.warp)
    fma = np.maximum(kernel.arithmetic, 1.0)
    return {
        "blocks": launch.blocks,
        "threads": launch.threads,
        "warps": warps,
        "lane_use": launch.threads / np.maximum(warps * hardware.warp, 1.0),
        "shared_bytes": launch.shared_bytes,
        "shared_share": launch.shared_bytes / hardware.block_shared_bytes,
        "registers": launch.registers,
        "register_pressure": kernel.register_pressure,
        "pipeline": launch.pipeline,
        "tensor_share": launch.tensor_share,
        "stages": launch.stages,
        "waits": kernel.waits,
        "ilp": kernel.ilp,
        "copies": kernel.copies,
        "resident": kernel.blocks_per_processor,
        "occupancy": kernel.occupancy,
        "waves": kernel.waves,
        "wave_use": kernel.waves / np.maximum(np.ceil(kernel.waves), 1.0),
        "balance": kernel.balance,
        "flops": kernel.flops,
        "transcendentals": kernel.transcendentals,
        "loads": kernel.loads,
        "loads_per_fma": kernel.loads / fma,
        "coalescing": np.minimum(1.0, kernel.global_lines / np.maximum(kernel.global_sectors, 1.0)),
        "sectors": kernel.global_sectors * SECTOR_BYTES,
        "l2_bytes": kernel.l2_bytes,
        "dram_bytes": kernel.dram_bytes,
        "l2_reuse": kernel.l2_bytes / np.maximum(kernel.dram_bytes, 1.0),
        "intensity": kernel.flops / np.maximum(kernel.l2_bytes, 1.0),
        "cache_wavefronts": kernel.cache_wavefronts,
        "shared_wavefronts": kernel.shared_wavefronts,
        "bank_conflicts": kernel.shared_wavefronts / np.maximum(kernel.shared_ideal, 1.0),
        "shared_per_fma": kernel.shared_wavefronts / fma,
        "dram_share": kernel.dram_bytes / hardware.l2_bytes,
    }
