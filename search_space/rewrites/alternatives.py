"""Which rewrites are worth offering for a function."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction, grouped_channels
from search_space.rewrites.fuse_rows import fuse_rows
from search_space.rewrites.im2col import im2col
from search_space.rewrites.moments import piecewise_moments
from search_space.rewrites.online_softmax import online_softmax
from search_space.rewrites.overlap import Cover, covers_of, label_of, overlap, plain_layout
from search_space.rewrites.pad_axis import pad_stage
from search_space.rewrites.program import NotLiftable, Program, Stage, lift
from search_space.rewrites.row_tails import row_tails
from search_space.rewrites.softmax import softmax
from search_space.rewrites.split_reduction import split_reduction
from search_space.rewrites.strassen import strassen
from search_space.rewrites.transposed import decompose_by_phase
from search_space.rewrites.winograd import EDGES, edges_of, winograd
from search_space.rewrites.winograd_phases import winograd_phases
from search_space.rewrites.winograd_tiles import winograd_tiles
from search_space.workload import constants_of

ROW_TILES = range(5, 15)
"""Register-tile heights that keep enough multiply-adds in flight with 2 to 4 vectors a row."""
COVER_TILES = (14, 12, 10, 9, 8, 7, 6)
"""Heights for the tiles that cover an extent without such a divisor."""
MAX_ROW_WASTE = 0.15
"""Share of rows that covering an extent may repeat."""
LANES = 16
"""What a contiguous output axis should be a multiple of: vectors of 64 bytes of float32."""
MAX_LANE_WASTE = 1.0
"""Share of lanes that may be wasted; without covers or padding, odd extents use one lane of a vector."""
MIN_WINOGRAD_CHANNELS = 16
"""Input or output channels below which Winograd's transforms are not offered."""
MAX_WHOLE_RESULTS = 1 << 17
"""Results up to which the products of a 3x3 convolution, about twice as many, stay near the core."""
MIN_PART_TERMS = 128
"""Fewer terms of one part do not pay for adding the parts up."""


@dataclass(frozen=True, slots=True)
class SplitLimits:
    """Where partial sums are offered: what is worth it depends on how many cores wait for tiles.

    Attributes:
        parts: Numbers of partial sums, where they divide.
        most_outputs: Results with more elements have tiles enough without.
        least_terms: Shorter sums are not worth a second pass.
    """

    parts: tuple[int, ...]
    most_outputs: int
    least_terms: int = 512


CPU_SPLITS = SplitLimits((2, 4), 1 << 14)
"""A few cores: larger results have tiles for all of them."""
GPU_SPLITS = SplitLimits((2, 4, 8, 16), 1 << 18)
"""A hundred multiprocessors: 512 x 512 results are 16 tiles of 128 x 128."""
SMALL = 5
"""Fewer lanes than this are left alone: most of a padded vector would be wasted."""


def alternatives(func: Any, has_caches: bool = True, splits: SplitLimits = CPU_SPLITS) -> list[Rewrite]:
    """Find other ways to compute an unscheduled function.

    The reduction with the most iterations is what is rewritten; padding before it and element-wise
    stages after it stay. Structure is recognised by access pattern, never by name.

    Args:
        func: A PrimFunc in TensorIR form.
        has_caches: Whether one core runs the passes over a row one after the other, through its caches:
            then long rows may be computed piece by piece.
        splits: Where partial sums are offered.

    Returns:
        Rewrites with unique names; none if the function has another form. ``func`` is not among them.
    """
    try:
        program = lift(func)
    except NotLiftable:
        return _of_phases(func)
    on_rows = [softmax(program), softmax(program, LANES), row_tails(program, LANES)]
    if has_caches:
        on_rows += [online_softmax(program, LANES), piecewise_moments(program, LANES)]
    of_rows = [r for r in on_rows if r is not None]
    contraction = anchor_contraction(program)
    if contraction is None:
        return of_rows
    phases = decompose_by_phase(program)
    if phases is not None:  # every other form would multiply by the inserted zeros
        return [phases, *_of_phases(func)]
    found: list[Rewrite | None] = [*of_rows, fuse_rows(program), im2col(program)]
    found += _winograd(program, contraction)
    if has_caches:
        found.append(strassen(program, [program.params[p] for p in constants_of(func)]))
    found += _covered(program, contraction)
    found += _padded(program, contraction)
    found += _split(program, contraction.stage, splits)
    return [r for r in found if r is not None]


def _of_phases(func: Any) -> list[Rewrite]:
    """Winograd on the phases of a transposed convolution."""
    try:
        program = lift(func, joins_phases=True)
    except NotLiftable:
        return []
    return [r for edge in EDGES if (r := winograd_phases(program, edge)) is not None]


def _winograd(program: Program, contraction: Contraction) -> list[Rewrite | None]:
    """The transforms cost as much as they save where there are few channels on either side.

    Programs by rows of tiles are for every other kernel and stride, and for large images.
    """
    columns = prod(a.extent for a in contraction.columns)
    if (grouped := grouped_channels(contraction)) >= 0:
        groups = contraction.data.shape[grouped] // contraction.channels[0].extent
        columns = contraction.batch[0].extent // groups
    found: list[Rewrite | None] = []
    if min(columns, prod(a.extent for a in contraction.channels)) >= MIN_WINOGRAD_CHANNELS:
        found = [winograd(program, edge) for edge in edges_of(contraction)]
    is_small = prod(contraction.stage.shape) <= MAX_WHOLE_RESULTS
    return found if any(found) and is_small else [*found, winograd_tiles(program)]


def _covered(program: Program, contraction: Contraction) -> list[Rewrite | None]:
    """Overlapping tiles on the program itself, on fused rows and on patches."""
    stage = contraction.stage
    row = next((i for i, a in enumerate(stage.axes) if contraction.rows and a is contraction.rows[-1]), -1)
    covers = choose_covers(stage.shape, row)
    found: list[Rewrite | None] = []
    if covers:
        label = label_of(plain_layout(stage), covers)
        found.append(Rewrite(f"overlap-{label}", overlap(program, covers), 1.0))
    return [*found, fuse_rows(program, choose_covers), im2col(program, choose_covers)]


def choose_covers(shape: tuple[int, ...], row: int) -> dict[int, Cover]:
    """Cover the lanes and the rows of a result where they have no good tile.

    Args:
        shape: Extents of the result; vectors run along the last one.
        row: Position of the rows, or -1.

    Returns:
        Position to cover; empty where everything divides (or cannot be helped).
    """
    found: dict[int, Cover] = {}
    last = len(shape) - 1
    if shape[last] % LANES and (lanes := covers_of(shape[last], LANES, MAX_LANE_WASTE)):
        found[last] = lanes[0]
    if 0 <= row < last and shape[row] > max(ROW_TILES) and not any(shape[row] % t == 0 for t in ROW_TILES):
        tiles = [c for t in COVER_TILES for c in covers_of(shape[row], t, MAX_ROW_WASTE)[:1]]
        if tiles:
            found[row] = min(tiles, key=lambda c: c.computed)
    return found


def _padded(program: Program, contraction: Contraction) -> list[Rewrite | None]:
    """Round the lanes up where they are fewer than a vector has: nothing could overlap."""
    if not contraction.is_plain_product or not contraction.columns:
        return []
    axis = contraction.columns[-1]
    padded = LANES // 2 if axis.extent <= LANES // 2 else LANES
    if not SMALL <= axis.extent < padded or axis is not contraction.stage.axes[-1]:
        return []
    func = pad_stage(program, contraction, [(axis, padded)])
    return [Rewrite(f"pad-{axis.name}.{padded}", func, 1.0)]


def _split(program: Program, stage: Stage, limits: SplitLimits) -> list[Rewrite | None]:
    """Partial sums only where the output is small and the sum is long."""
    outputs = prod(a.extent for a in stage.axes)
    terms = prod(a.extent for a in stage.reduction)
    if outputs > limits.most_outputs or terms < limits.least_terms:
        return []
    return [split_reduction(program, parts) for parts in limits.parts if terms >= parts * MIN_PART_TERMS]
