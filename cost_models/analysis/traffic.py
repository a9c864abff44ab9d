"""Cache traffic of a nest for any cache size, by the outermost cut whose working set fits.

With WS(l) the lines of all buffers below cut l and C a capacity, the part below the outermost cut
with WS <= C runs from the cache. The loop around that part either moves in a buffer, and then one
sweep of it loads each distinct line once (sliding windows overlap), or it does not, and then the
buffer stays until a loop further out moves in it. Every loop beyond multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.footprint import Footprint
from cost_models.analysis.loops import Buffer, Loops, Row

_WRITE_FACTOR = 2.0
"""A written line is fetched first and written back later."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Working sets and traffic of one execution of a nest.

    Attributes:
        working_set: [L + 1, N] bytes that the lines of all memory buffers below each cut take of a cache
            (more than their size where they crowd into few sets).
        moved: [L + 1, N] bytes loaded and stored in all if the part below a cut just fits.
        lines: For each buffer, [L + 1, N] distinct lines below each cut; ``None`` if it is local.
        per_buffer: For each buffer, [L + 1, N] lines moved; ``None`` if it is local.
    """

    working_set: NDArray[np.float32]
    moved: NDArray[np.float32]
    lines: tuple[NDArray[np.float32] | None, ...]
    per_buffer: tuple[NDArray[np.float32] | None, ...]


def traffic_of(
    buffers: tuple[Buffer, ...], footprints: tuple[Footprint, ...], loops: Loops, line_bytes: int
) -> Traffic:
    """Evaluate working set and traffic at every cut.

    Args:
        buffers: Accesses of the nest.
        footprints: Their footprints.
        loops: The nest.
        line_bytes: Size of a cache line.

    Returns:
        Rows for cuts 0 (all inside the cache) to L.
    """
    depth, size = loops.depth, loops.size
    working_set = np.zeros((depth + 1, size), np.float32)
    moved = np.zeros((depth + 1, size), np.float32)
    per_buffer: list[NDArray[np.float32] | None] = []
    touched: list[NDArray[np.float32] | None] = []
    for buffer, footprint in zip(buffers, footprints, strict=True):
        if buffer.is_local:
            per_buffer.append(None)
            touched.append(None)
            continue
        lines = np.empty((depth + 1, size), np.float32)
        for cut in range(depth + 1):
            lines[cut] = footprint.lines[cut]
            working_set[cut] += footprint.occupied[cut]
        rows = _reloaded(buffer, lines, loops)
        per_buffer.append(rows)
        touched.append(lines)
        moved += rows * np.float32(_WRITE_FACTOR) if buffer.is_write else rows
    working_set *= np.float32(line_bytes)
    moved *= np.float32(line_bytes)
    return Traffic(working_set, moved, tuple(touched), tuple(per_buffer))


def _reloaded(buffer: Buffer, lines: NDArray[np.float32], loops: Loops) -> NDArray[np.float32]:
    """Return [L + 1, N]: lines of a buffer moved when the cache holds just the part below a cut."""
    once = lines * loops.outer
    result = np.empty_like(once)
    result[0] = once[0]
    kept: Row = once[0]
    for loop in range(loops.depth):
        mask = buffer.indexed[loop]
        if mask is None:
            result[loop + 1] = kept
            continue
        rest = np.float32(1.0) - mask
        stays = kept * rest
        # The loop around the cut moves in the buffer: each distinct line of one sweep.
        np.add(once[loop] * mask, stays, out=result[loop + 1])
        kept = once[loop + 1] * mask + stays
    return result


def cuts_of(working_set: NDArray[np.float32], capacities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Find for each capacity the outermost cut whose working set fits.

    Args:
        working_set: [L + 1, N] bytes, not growing with the cut.
        capacities: [K] bytes.

    Returns:
        [K, N] cuts; L where not even one execution of the body fits.
    """
    depth = working_set.shape[0] - 1
    limits = capacities[:, None]
    fitting = np.zeros((len(capacities), working_set.shape[1]), np.uint8)
    for cut in range(depth):
        fitting += (working_set[cut] <= limits).view(np.uint8)
    return np.asarray(depth - fitting.astype(np.intp))


def at_cuts(rows: NDArray[np.float32], cuts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Pick one of L + 1 rows for each candidate and capacity.

    Args:
        rows: [L + 1, N].
        cuts: [K, N].

    Returns:
        [K, N].
    """
    size = rows.shape[1]
    return np.asarray(rows.reshape(-1).take(cuts * size + np.arange(size)))
