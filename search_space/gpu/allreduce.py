"""Shared memory of sums across the threads of a block, as TVM 0.27 lowers them (LowerThreadAllreduce)."""

from __future__ import annotations

import numpy as np

from search_space.hardware_gpu import GpuHardware
from search_space.nest import Bools, Floats

_SHUFFLED_BYTES = (4, 8)
"""Sizes of elements that warps shuffle; float16 is shuffled too."""


def allreduce_bytes(
    hardware: GpuHardware, threads: Floats, groups: Floats, dtype: str, element_bytes: int, is_innermost: bool
) -> Floats:
    """Return the shared memory of one result a group: [N].

    Args:
        hardware: Limits.
        threads: [N] threads that share a result.
        groups: [N] results that a block computes at once.
        dtype: Element type of the results.
        element_bytes: Bytes of one.
        is_innermost: Whether the threads of a result are neighbours (``threadIdx.x``).
    """
    warps = threads / hardware.warp
    shuffles = _shuffles(hardware, threads, groups, dtype, element_bytes, is_innermost)
    # Across warps: a partial result of each, then the result, for every group.
    across = np.where(threads > hardware.warp, warps * groups + groups, 0.0)
    elements = np.where(shuffles, across, threads * groups)
    return np.asarray(np.where(threads > 1, elements, 0.0) * element_bytes)


def _shuffles(
    hardware: GpuHardware, threads: Floats, groups: Floats, dtype: str, element_bytes: int, is_innermost: bool
) -> Bools:
    """Mask of the sums that warps compute by shuffles: [N]."""
    if dtype != "float16" and element_bytes not in _SHUFFLED_BYTES:
        return np.zeros(len(threads), dtype=bool)
    whole = (hardware.warp % threads == 0) | (threads % hardware.warp == 0)
    neighbours = np.full(len(threads), True) if is_innermost else np.zeros(len(threads), dtype=bool)
    return np.asarray(neighbours & (whole | ((groups == 1) & (threads <= hardware.warp))))
