"""What a kernel may ask of a GPU: masks over a population."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_space.hardware_gpu import GpuHardware
from search_space.nest import Bools, Floats

BASE_REGISTERS = 24.0
"""Registers of addresses and loop counters, before any data (read off compiled kernels)."""

REGISTERS_PER_WORD = 1.45
"""Registers for each word of data in flight: the compiler loads ahead (read off compiled kernels)."""

BUFFER_ALIGNMENT_BYTES = 64.0
"""Where buffers of shared memory start (TVM's kAllocAlignment)."""

_ALLOCATION = 8.0
"""Registers are handed out to threads in multiples of this."""


def thread_registers(hardware: GpuHardware, threads: Floats) -> Floats:
    """Return how many registers each thread of a block of that size can have: [N]."""
    share = np.floor(hardware.processor_registers / np.maximum(1.0, threads) / _ALLOCATION) * _ALLOCATION
    return np.minimum(share, hardware.thread_registers)


def fits_launch(hardware: GpuHardware, threads: Floats, shared_bytes: Floats, registers: Floats) -> Bools:
    """Mask of the kernels that one multiprocessor can hold at least once: [N].

    Args:
        hardware: Limits.
        threads: [N] threads of a block.
        shared_bytes: [N] shared memory of a block.
        registers: [N] estimate of the registers of a thread; more than there are would spill.
    """
    return np.asarray(
        (threads >= 1)
        & (threads <= hardware.block_threads)
        & (shared_bytes <= hardware.block_shared_bytes)
        & (registers <= thread_registers(hardware, threads))
    )


def allocated_bytes(hardware: GpuHardware, sizes: Sequence[Floats], count: int) -> Floats:
    """Return the shared memory of buffers that live at the same time: [N].

    What may be declared is. The rest is one dynamic buffer, in which TVM lays the parts out from the smallest
    to the largest one.

    Args:
        hardware: Limits.
        sizes: [N] bytes of each; 0 where a candidate does not have it.
        count: N.
    """
    if not sizes:
        return np.zeros(count)
    ascending = np.sort(np.stack(sizes, axis=1), axis=1)
    merged = np.zeros(count)
    for size in ascending.T:
        merged = np.ceil(merged / BUFFER_ALIGNMENT_BYTES) * BUFFER_ALIGNMENT_BYTES + size
    declared = ascending.sum(axis=1)
    return np.where(merged <= hardware.static_shared_bytes, declared, merged)


def shared_scope(hardware: GpuHardware, shared_bytes: float) -> str:
    """Return the scope of shared buffers: dynamic ones where a block needs more than may be declared."""
    return "shared" if shared_bytes <= hardware.static_shared_bytes else "shared.dyn"
