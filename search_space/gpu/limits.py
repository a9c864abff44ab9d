"""What a kernel may ask of a GPU: masks over a population."""

from __future__ import annotations

import numpy as np

from search_space.hardware_gpu import GpuHardware
from search_space.nest import Bools, Floats

BASE_REGISTERS = 24.0
"""Registers of addresses and loop counters, before any data (read off compiled kernels)."""

REGISTERS_PER_WORD = 1.45
"""Registers for each word of data in flight: the compiler loads ahead (read off compiled kernels)."""

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


def shared_scope(hardware: GpuHardware, shared_bytes: float) -> str:
    """Return the scope of shared buffers: dynamic ones where a block may need more than may be declared.

    TVM bounds stages of some reads more widely than the estimate, up to twice (kernels of ResNet-18 on
    sm_80); dynamic memory costs nothing, and a declaration that is too large does not compile.
    """
    return "shared" if 2.0 * shared_bytes <= hardware.static_shared_bytes else "shared.dyn"
