"""The slow truth: run a nest index by index."""

from __future__ import annotations

import numpy as np


def addresses(access, extents, row, cut=0):
    """Return every flat element address that the loops below a cut use, in order."""
    shape = np.broadcast_to(access.shape, (row + 1, access.shape.shape[-1]))[row].astype(int)
    coefficients = access.coefficients[row if access.coefficients.shape[0] > 1 else 0].astype(int)
    inside = np.where(np.arange(extents.shape[1]) >= cut, extents[row], 1).astype(int)
    index = coefficients @ np.indices(inside).reshape(extents.shape[1], -1)
    assert (index < shape[:, None]).all()
    return np.ravel_multi_index(tuple(index), tuple(shape))


def touched(access, extents, row, cut):
    """Return the distinct element addresses below a cut, outer loops at zero."""
    return np.unique(addresses(access, extents, row, cut))


def lines(elements, element_bytes, line_bytes=64):
    return np.unique(elements * element_bytes // line_bytes)


def misses(accesses, extents, row, capacity_lines):
    """Return lines fetched by a fully associative least-recently-used cache, for all accesses."""
    streams = [
        addresses(access, extents, row) * access.element_bytes // 64 * len(accesses) + place
        for place, access in enumerate(accesses)
    ]
    recent: dict[int, None] = {}
    fetched = 0
    for key in np.stack(streams, axis=1).ravel().tolist():
        if key in recent:
            del recent[key]
        else:
            fetched += 1
            if len(recent) >= capacity_lines:
                del recent[next(iter(recent))]
        recent[key] = None
    return fetched
