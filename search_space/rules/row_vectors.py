"""Vectors along the rows, for results with so few channels that theirs would be short.

before (three channels: vectors of three at best)::

    for h, w, c:       P[h, w, c] = in_range(h, w) ? X[h - 1, w - 1, c] : 0
    for h, w, f < 3:   ... O[h, w, f] += P[h + r, w + s, c] * W[r, s, c, f]

after (the copy that pads turns the image, the accumulators are turned too)::

    for h, w, c:       P[h, c, w] = in_range(h, w) ? X[h - 1, w - 1, c] : 0
    for h, f < 3, w0:  vector w1: ... O.local[h, f, w] += P[h + r, c, w + s] * W[r, s, c, f]
                       O[h, w, f] = O.local[h, f, w]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns
from search_space.hardware import Hardware
from search_space.steps import Memory, PlainStep
from search_space.tiling import Tiling, make_tiling
from search_space.tvm_api import Schedule, tirx

MAX_CHANNELS = 7
"""With more channels half a vector or more is used along them."""


@dataclass(frozen=True, slots=True, eq=False)
class TurnStep(PlainStep):
    """Store an image and the accumulators with the rows innermost.

    Attributes:
        tiling: The computation, its vectors along the rows.
        producer: Block that copies the image.
        dimension: Dimension of the image along which the rows run.
        numbers: The tiling of the turned computation, for what describes its inner loops.
    """

    tiling: Tiling
    producer: str
    dimension: int
    numbers: Tiling

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Change both layouts; runs once the accumulators have a buffer of their own."""
        block = sch.get_sblock(self.tiling.block.name)
        rows = sch.get(block).iter_vars[self.tiling.axes[self.tiling.vector].iterator].var
        walked = [r.min.same_as(rows) for r in sch.get(block).writes[0].region]
        _turn(sch, block, walked.index(True), len(walked))
        copy = sch.get_sblock(self.producer)
        _turn(sch, copy, self.dimension, len(sch.get(copy).writes[0].region))


def _turn(sch: Schedule, block: Any, dimension: int, dimensions: int) -> None:
    """Move one dimension of what a block writes to the end."""

    def moved(*index: Any) -> list[Any]:
        return [*index[:dimension], *index[dimension + 1 :], index[dimension]]

    dtype = str(sch.get(block).iter_vars[0].var.ty)
    index_map = tirx.IndexMap.from_func(moved, ndim=dimensions, index_dtype=dtype)
    sch.transform_layout(block, ("write", 0), index_map)


def turn_rows(
    block: BlockInfo,
    hardware: Hardware,
    producers: Sequence[BlockInfo],
    is_fused: bool = False,
    weights: frozenset[str] = frozenset(),
) -> TurnStep | None:
    """Vectorise a reduction with few channels along its rows.

    Args:
        block: The reduction.
        hardware: Limits.
        producers: Blocks that copy its operands and may store them in another order.
        is_fused: Whether a consumer reads the tile.
        weights: Names of buffers that are known when a model is compiled.

    Returns:
        The step, or None: the image must be copied by a producer, rows must be neighbours in it, no
        other operand may depend on them, and a fused result must have a dimension of its own for them.
    """
    found = _rows_of(block, hardware, producers)
    # Alone a block gets accumulators with one dimension for each iterator; a fused one keeps its own
    # result, where rows that share a dimension with phases have no place that could be moved.
    if found is None or (is_fused and found[0] not in block.writes[0].single):
        return None
    rows, image, dimension = found
    use = next(u for u in block.reads if u.name == image.writes[0].name)
    tiling = make_tiling(block, hardware, is_fused, weights, rows)
    # The turned image is contiguous already; packing would take its producer in.
    tiling = replace(tiling, packable=tuple(p for p in tiling.packable if p != use.position))
    numbers = replace(tiling, block=turned(block, rows, use.name, dimension))
    return TurnStep(tiling, image.name, dimension, numbers)


def _rows_of(
    block: BlockInfo, hardware: Hardware, producers: Sequence[BlockInfo]
) -> tuple[int, BlockInfo, int] | None:
    """Return the rows' iterator, the producer of the image and the dimension that they run along."""
    output = block.writes[0]
    channels = [i for i in block.spatial if output.last_coefficient(i) == 1]
    if not channels or not 1 < block.axes[channels[-1]].extent <= MAX_CHANNELS:
        return None
    lanes = hardware.lanes(output.element_bytes)
    found: list[tuple[int, BlockInfo, int]] = []
    for i in block.spatial:
        readers = [u for u in block.reads if i in u.axes]
        if block.axes[i].extent % lanes or block.axes[i].group > 1 or len(readers) != 1:
            continue
        use = readers[0]
        producer = next((p for p in producers if p.writes[0].name == use.name), None)
        dims = [int(d) for d in np.nonzero(use.coefficients[:, i])[0]]
        if producer is not None and use.affine and len(dims) == 1 and use.coefficients[dims[0], i] == 1:
            found.append((i, producer, dims[0]))
    return found[-1] if found else None


def turned(block: BlockInfo, rows: int, image: str, dimension: int) -> BlockInfo:
    """Describe a reduction whose image and accumulators are stored with the rows innermost."""
    output = block.writes[0].reindexed(block.axes)
    place = output.single.index(rows)
    return replace(
        block,
        reads=tuple(_moved(u, dimension) if u.name == image else u for u in block.reads),
        writes=(_moved(output, place), *block.writes[1:]),
    )


def _moved(use: BufferUse, dimension: int) -> BufferUse:
    order = [d for d in range(len(use.shape)) if d != dimension] + [dimension]
    return replace(
        use,
        shape=tuple(use.shape[d] for d in order),
        coefficients=use.coefficients[order],
        group_coefficients=use.group_coefficients[order],
        single=tuple(use.single[d] for d in order),
    )
