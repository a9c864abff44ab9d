"""What one memory instruction of a warp costs: sectors of global memory, wavefronts of shared memory."""

from __future__ import annotations

import numpy as np

from search_space.nest import Access, Binding, Floats, LoopNest

WARP = 32
SECTOR_BYTES = 32.0
"""Unit of transfers between level 2 and a multiprocessor."""
WAVEFRONT_BYTES = 128.0
"""What the 32 banks of shared memory deliver in one cycle."""
WORD_BYTES = 4.0


def element_strides(access: Access, size: int) -> Floats:
    """Return [N, L]: elements that one iteration of each loop moves by, padded rows included."""
    shape = np.broadcast_to(access.shape, (size, access.shape.shape[-1])).astype(np.float64)
    rank = shape.shape[1]
    strides = np.ones((size, rank))
    for d in reversed(range(rank - 1)):
        step = shape[:, d + 1] if d < rank - 2 or access.pitch is None else _pitch(access, shape)
        strides[:, d] = strides[:, d + 1] * step
    loops = access.coefficients.shape[-1]
    coefficients = np.broadcast_to(access.coefficients, (size, rank, loops))
    return np.asarray(np.einsum("nd,ndl->nl", strides, coefficients))


def _pitch(access: Access, shape: Floats) -> Floats:
    pitch = np.broadcast_to(np.asarray(access.pitch), (len(shape),))
    return np.where(pitch > 0, pitch, shape[:, -1])


def lane_addresses(nest: LoopNest, strides: Floats, element_bytes: int) -> Floats:
    """Return [N, 32]: the byte address of each lane of the first warp.

    Thread loops are numbered like CUDA does: the innermost one changes fastest.
    """
    assert nest.binding is not None
    threads = [place for place, bound in enumerate(nest.binding) if bound == Binding.THREAD]
    found = np.zeros((nest.size, WARP))
    lane = np.broadcast_to(np.arange(WARP, dtype=np.float64), (nest.size, WARP))
    for place in reversed(threads):
        extent = nest.extents[:, place][:, None]
        found += (lane % extent) * strides[:, place][:, None] * element_bytes
        lane = np.floor(lane / extent)
    # Lanes beyond the block do nothing: they repeat the first one.
    return np.where(lane > 0, found[:, :1], found)


def sectors(addresses: Floats) -> Floats:
    """Return [N]: different 32-byte sectors that a warp touches."""
    return _distinct(np.floor(addresses / SECTOR_BYTES))


def wavefronts(addresses: Floats, unit_bytes: Floats) -> Floats:
    """Return [N]: cycles that shared memory needs for a warp, bank conflicts included.

    Args:
        addresses: [N, 32] byte addresses.
        unit_bytes: [N] bytes that a lane moves at once (at least a word).
    """
    unit = np.maximum(unit_bytes, WORD_BYTES)[:, None]
    groups = np.maximum(1.0, WAVEFRONT_BYTES / unit)
    units = np.sort(np.floor(addresses / unit), axis=1)
    is_new = np.ones(units.shape, dtype=bool)
    is_new[:, 1:] = units[:, 1:] != units[:, :-1]
    bank = (units % groups).astype(np.int64)
    flat = np.arange(len(units))[:, None] * WARP + bank
    counts = np.bincount(flat[is_new], minlength=len(units) * WARP).reshape(len(units), WARP)
    return np.asarray(counts.max(axis=1), dtype=np.float64)


def _distinct(values: Floats) -> Floats:
    ordered = np.sort(values, axis=1)
    return np.asarray(1.0 + np.sum(ordered[:, 1:] != ordered[:, :-1], axis=1))
