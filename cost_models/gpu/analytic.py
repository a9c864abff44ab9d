"""The draft model of a GPU: seconds from the chip's limits.

Each kernel takes as long as its busiest unit (arithmetic, instruction issue, shared memory, level 2,
memory), a little of the others that does not overlap, and the waits that too few warps leave exposed;
multiprocessors without a block idle until the last one ends. The terms are those of the roofline model with
Pruner's penalties (arXiv 2402.02361) for the GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cost_models.gpu.kernels import Kernel
from cost_models.gpu.transactions import WARP
from search_space.nest import Floats

if TYPE_CHECKING:
    from search_space.hardware_gpu import GpuHardware

_SCHEDULERS = 4.0
"""Warp instructions that a multiprocessor issues in a cycle."""
_FMA_LATENCY = 4.0
"""Cycles until a multiply-add can be used."""
_MEMORY_LATENCY = 600.0
"""Cycles until a load from global memory arrives."""
_SHARED_LATENCY = 30.0
"""Cycles until a load from shared memory arrives, and about what a barrier costs."""
_CACHE_LATENCY = 200.0
"""Cycles until a load arrives that level 1 or 2 answers."""
_LOADS_IN_FLIGHT = 6.0
"""Independent loads of a thread that the compiler starts before it uses the first."""
_L2_BYTES_PER_CYCLE = 48.0
"""Bytes a cycle between level 2 and one multiprocessor; 64 in theory."""
_USABLE_BANDWIDTH = 0.9
"""Part of the nominal memory bandwidth that a copy reaches."""
_TRANSCENDENTAL_SLOTS = 12.0
"""Warp instructions of one exp in CUDA's library."""
_EXPOSED = 0.25
"""Part of what the less busy units do that does not overlap with the busiest."""
_LAUNCH_SECONDS = 2.5e-6
"""Start and end of a kernel in a stream."""
_TENSOR_EFFICIENCY = 0.6
"""What mma instructions of warps reach of the nominal tensor rate (Hopper's wgmma reaches the rest)."""


@dataclass(frozen=True, slots=True)
class KernelSeconds:
    """Seconds of one kernel by unit, each [N]."""

    arithmetic: Floats
    issue: Floats
    shared: Floats
    l2: Floats
    dram: Floats
    latency: Floats
    total: Floats


def kernel_seconds(kernel: Kernel, hardware: GpuHardware) -> KernelSeconds:
    """Draft one kernel.

    Args:
        kernel: Its analysis.
        hardware: The GPU.

    Returns:
        The terms; zero for candidates that do not have the kernel.
    """
    busy = np.maximum(kernel.balance, 1e-6) * hardware.processors
    cycle = 1.0 / hardware.clock_hertz
    share = kernel.launch.tensor_share
    fp32 = hardware.fp32_flops / hardware.processors
    tensor = np.maximum(hardware.tensor_flops, 1.0) / hardware.processors * _TENSOR_EFFICIENCY
    per_issue = fp32 * cycle / (2.0 * WARP)
    warps = np.ceil(kernel.launch.threads / WARP)
    resident = np.minimum(kernel.blocks_per_processor, np.ceil(kernel.launch.blocks / hardware.processors))
    chains = resident * warps / _SCHEDULERS * np.maximum(kernel.ilp, 1.0)
    hidden = np.minimum(1.0, chains / _FMA_LATENCY)
    functions = kernel.transcendentals / WARP * _TRANSCENDENTAL_SLOTS
    arithmetic = (
        ((1.0 - share) * kernel.arithmetic + functions) / per_issue * cycle / hidden
        + share * kernel.flops / (tensor * kernel.launch.tensor_rate)
    ) / busy
    spilled = np.maximum(0.0, kernel.register_pressure - 1.0)
    issued = (1.0 - share) * kernel.arithmetic + functions + 2.0 * kernel.loads * (1.0 + 4.0 * spilled)
    issue = issued / _SCHEDULERS * cycle / busy
    # Shared memory and level 1 are one memory behind one port.
    shared = (kernel.shared_wavefronts + kernel.cache_wavefronts) * cycle / busy
    l2 = kernel.l2_bytes / _L2_BYTES_PER_CYCLE * cycle / busy
    dram = kernel.dram_bytes / (hardware.dram_bytes_per_second * _USABLE_BANDWIDTH)
    # A warp waits for every stage, unless other blocks or earlier stages give it something to do.
    rounds = np.ceil(kernel.launch.blocks / (hardware.processors * kernel.blocks_per_processor))
    in_flight = np.maximum(1.0, resident + kernel.launch.pipeline - 1.0)
    waits = kernel.launch.stages * (_SHARED_LATENCY + _MEMORY_LATENCY / in_flight) + _MEMORY_LATENCY
    ready = np.maximum(1.0, resident * warps / _SCHEDULERS) * _LOADS_IN_FLIGHT
    waits = waits + kernel.waits * _CACHE_LATENCY / ready
    latency = rounds * waits * cycle
    units = np.stack([arithmetic, issue, shared, l2, dram])
    busiest = units.max(axis=0)
    total = busiest + _EXPOSED * (units.sum(axis=0) - busiest)
    total = np.hypot(total, latency) + _LAUNCH_SECONDS
    return KernelSeconds(
        arithmetic * kernel.runs,
        issue * kernel.runs,
        shared * kernel.runs,
        l2 * kernel.runs,
        dram * kernel.runs,
        latency * kernel.runs,
        total * kernel.runs,
    )
