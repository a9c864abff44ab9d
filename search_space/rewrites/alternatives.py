"""Which rewrites are worth offering for a function."""

from __future__ import annotations

from math import prod
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, contraction_of
from search_space.rewrites.fuse_rows import fuse_rows
from search_space.rewrites.im2col import im2col, row_count
from search_space.rewrites.pad_axis import pad_stage
from search_space.rewrites.program import Axis, NotLiftable, Program, Stage, lift
from search_space.rewrites.softmax import softmax
from search_space.rewrites.split_reduction import split_reduction
from search_space.rewrites.transposed import decompose_by_phase
from search_space.rewrites.winograd import MATRICES, winograd

ROW_TILES = (4, 6, 8, 12, 14, 16)
"""Register-tile heights that an extent should be a multiple of."""
COLUMN_TILE = 16
"""Lanes that a contiguous output axis should be a multiple of."""
MIN_WINOGRAD_CHANNELS = 16
"""Input or output channels below which Winograd's transforms are not offered."""
MAX_SPLIT_OUTPUTS = 1 << 14
"""Results with more elements have enough tiles for every core without partial sums."""
MIN_SPLIT_TERMS = 512
"""Shorter sums are not worth a second pass."""
SPLITS = (2, 4)
"""Numbers of partial sums that are offered, where they divide."""
SMALL = 4
"""Extents up to this many iterations are unrolled whole and need no padding."""


def alternatives(func: Any) -> list[Rewrite]:
    """Find other ways to compute an unscheduled function.

    The reduction with the most iterations is what is rewritten; padding before it and element-wise
    stages after it stay. Structure is recognised by access pattern, never by name.

    Args:
        func: A PrimFunc in TensorIR form.

    Returns:
        Rewrites with unique names; none if the function has another form. ``func`` is not among them.
    """
    try:
        program = lift(func)
    except NotLiftable:
        return []
    scaled = [r for r in (softmax(program),) if r is not None]
    stage = program.anchor()
    contraction = contraction_of(program, stage) if stage is not None else None
    if stage is None or contraction is None:
        return scaled
    phases = decompose_by_phase(program)
    if phases is not None:  # every other form would multiply by the inserted zeros
        return [phases]
    found: list[Rewrite | None] = [*scaled, fuse_rows(program), im2col(program)]
    found += _winograd(program, contraction)
    found += _padded(program, contraction)
    found += _split(program, stage)
    return [r for r in found if r is not None]


def _winograd(program: Program, contraction: Contraction) -> list[Rewrite | None]:
    """The transforms cost as much as they save where there are few channels on either side."""
    sides = (contraction.channels, contraction.columns)
    if any(prod(a.extent for a in side) < MIN_WINOGRAD_CHANNELS for side in sides):
        return []
    return [winograd(program, edge) for edge in MATRICES]


def _padded(program: Program, contraction: Contraction) -> list[Rewrite | None]:
    found: list[Rewrite | None] = []
    if not contraction.is_plain_product:
        return found
    fused = fuse_rows(program)
    rows = contraction.rows[-1] if contraction.rows else None
    grown: list[tuple[Axis, int]] = []
    for axis in contraction.columns[-1:]:
        if axis.extent > SMALL and axis.extent % COLUMN_TILE:
            grown.append((axis, -(-axis.extent // COLUMN_TILE) * COLUMN_TILE))
    if fused is None and rows is not None and (multiple := awkward(rows.extent)) is not None:
        grown.append((rows, -(-rows.extent // multiple) * multiple))
    if grown:
        label = "-".join(f"{a.name}.{e}" for a, e in grown)
        found.append(Rewrite(f"pad-{label}", pad_stage(program, contraction, grown), 1.0))
    if (multiple := awkward(row_count(contraction))) is not None:
        found += [fuse_rows(program, multiple), im2col(program, multiple)]
    return found


def _split(program: Program, stage: Stage) -> list[Rewrite | None]:
    """Partial sums only where the output is small and the sum is long."""
    outputs = prod(a.extent for a in stage.axes)
    terms = prod(a.extent for a in stage.reduction)
    if outputs > MAX_SPLIT_OUTPUTS or terms < MIN_SPLIT_TERMS:
        return []
    return [split_reduction(program, parts) for parts in SPLITS]


def awkward(extent: int) -> int | None:
    """Return the multiple that wastes least where an extent has no register-tile height as a divisor.

    Returns:
        One of :data:`ROW_TILES`, or None where the extent is small or divides already.
    """
    if extent <= SMALL or any(extent % t == 0 for t in ROW_TILES if t > SMALL or extent < 16):
        return None
    return min((t for t in ROW_TILES if t > SMALL), key=lambda t: (-(-extent // t) * t, -t))
