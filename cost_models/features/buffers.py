"""Columns of the buffers of the main stage, by role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.footprint import region_below
from cost_models.analysis.loops import Buffer, Loops, Row, Scalar
from cost_models.analysis.stage import Stage
from cost_models.analysis.traffic import at_cuts
from cost_models.features.columns import ROLES

if TYPE_CHECKING:
    from search_space.hardware import Hardware

_PAGE_BYTES = 4096


def buffer_columns(
    stage: Stage, roles: tuple[int, ...], cuts: NDArray[np.intp], hardware: Hardware
) -> dict[str, Scalar]:
    """Return the columns of the buffer groups.

    Args:
        stage: The main stage.
        roles: Index of the output and of the inputs in the stage's buffers; -1 for none.
        cuts: [3, N] outermost cuts that fit in l1, l2, l3.
        hardware: The machine's limits.

    Returns:
        Unscaled values by column name; roles without a buffer are left out.
    """
    loops = stage.loops
    kept_l1 = _extents_below(loops, cuts[0])
    kept_l2 = _extents_below(loops, cuts[1])
    columns: dict[str, Scalar] = {}
    for role, index in zip(ROLES, roles, strict=False):
        if index < 0:
            continue
        buffer = stage.buffers[index]
        size = np.float32(buffer.element_bytes)
        elements = stage.footprints[index].elements[0]
        region = region_below(buffer, loops, kept_l1, hardware.line_bytes)
        pages = region_below(buffer, loops, kept_l2, _PAGE_BYTES).lines
        reuse, distance, between = _reuse(buffer, loops, stage.traffic.working_set)
        values: dict[str, Scalar] = {
            "bytes": elements * float(buffer.element_bytes),
            "reads_per_byte": loops.inner[0] / elements,
            "lane_stride": stage.tile.strides[index],
            "line_use": region.elements * size / (region.lines * np.float32(hardware.line_bytes)),
            "run": region.run * size,
            "pages": pages,
            "conflicts": _conflicts(buffer, kept_l2),
            "reuse": reuse,
            "reuse_distance": distance,
            "reuse_bytes": between * np.float32(1.0 / hardware.l1_bytes),
        }
        lines, moved = stage.traffic.lines[index], stage.traffic.per_buffer[index]
        if lines is not None and moved is not None:
            traffic = at_cuts(moved, cuts[:2]) * stage.executions * np.float32(hardware.line_bytes)
            held = at_cuts(lines, cuts[:2]) * np.float32(hardware.line_bytes)
            values["l1_traffic"], values["l2_traffic"] = traffic[0], traffic[1]
            values["l1_share"] = held[0] * np.float32(1.0 / hardware.l1_bytes)
            values["l2_share"] = held[1] * np.float32(1.0 / hardware.l2_bytes)
        columns.update({f"{role}_{name}": value for name, value in values.items()})
    return columns


def _extents_below(loops: Loops, cut: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return [L, N]: trip counts, with 1 for loops outside of each candidate's cut."""
    inside = (np.arange(loops.depth)[:, None] >= cut).astype(np.float32)
    return np.asarray(np.float32(1.0) + inside * (loops.extents - np.float32(1.0)))


def _conflicts(buffer: Buffer, extents: NDArray[np.float32]) -> Row:
    """Return [N]: product of trip counts whose step in memory is a multiple of the page size."""
    ways: Row = np.ones(extents.shape[1], np.float32)
    for loop, terms in enumerate(buffer.terms):
        for term in terms:
            step = term.step * (buffer.strides[term.dimension] * (buffer.element_bytes / _PAGE_BYTES))
            if isinstance(step, float):
                if step > 0 and step.is_integer():
                    ways = ways * extents[loop]
                continue
            aligned = (step == np.floor(step)) & (step > 0)
            ways = ways * (np.float32(1.0) + aligned * (extents[loop] - np.float32(1.0)))
    return ways


def _reuse(buffer: Buffer, loops: Loops, working_set: NDArray[np.float32]) -> tuple[Row, Row, Row]:
    """Return count, distance and bytes between uses of the innermost loop that repeats elements."""
    count: Row = np.ones(loops.size, np.float32)
    distance: Row = loops.inner[0]
    between: Row = working_set[0]
    for loop in range(loops.depth):
        mask = buffer.indexed[loop]
        repeats = loops.moves[loop] if mask is None else loops.moves[loop] - mask
        if mask is not None and not repeats.any():
            continue
        other = np.float32(1.0) - repeats
        count = loops.extents[loop] * repeats + count * other
        distance = loops.inner[loop + 1] * repeats + distance * other
        between = working_set[loop + 1] * repeats + between * other
    return count, distance, between
