"""Winograd convolution F(2x2, 3x3) and F(4x4, 3x3), and F(m, r) along one dimension.

before (3x3 taps, stride 1, no dilation)::

    for n, h, w, co, rh, rw, ci:
        out[n, h, w, co] += x[n, h + rh - 1, w + rw - 1, ci] * weight[rh, rw, ci, co]

after (tiles of m x m results from (m+2) x (m+2) inputs; p counts tiles, uv counts (m+2)^2)::

    for n, th, tw, ci:   tiles[uv, p, ci]   = B^T d B      for all uv, straight-line code
    for ci, co:          kernel[uv, ci, co] = G g G^T      for all uv (constant weights: once)
    for uv, p, co, ci:   product[uv, p, co] += tiles[uv, p, ci] * kernel[uv, ci, co]
    for n, th, tw, co:   out[n, m*th + i, m*tw + j, co] = A^T M A   for all i, j

Along one dimension (sequences) the same without w and v: F(4, 3) has 6 products for 4 results of 3 taps.

F(2) does 2.25 times fewer multiplications, F(4) 4 times fewer. Measured against double precision
(16 to 512 channels, inputs centred and not), the largest error of F(2) is 0.3 to 0.6 of that of a
plain sum, that of F(4) 0.4 to 10 times as large. F(4) is inexact on integers too (sixths).
A. Lavin and S. Gray, *Fast algorithms for convolutional neural networks* (2016), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction, grouped_channels
from search_space.rewrites.emit import Emitter, Layout, combine, reduce_axes
from search_space.rewrites.fuse_rows import joined, separated
from search_space.rewrites.layouts import split_layout
from search_space.rewrites.padding import guarded_element, is_regular, padded_reader
from search_space.rewrites.program import Axis, Program, substitute
from search_space.rewrites.toom_cook import Matrices, minimal_filter
from search_space.rewrites.unrolled import Transform, emit_written_out
from search_space.rules.places import TILE_COLUMNS
from search_space.tvm_api import te

EDGES = (2, 4)
"""Edges of a tile of results of two dimensions."""
POINTS_OF_A_LINE = (6, 7)
"""Points of a tile of one dimension."""
LONGEST_LINE = 5
"""Most taps along one dimension."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Which iterators play which part.

    Attributes:
        edge: Results along one edge of a tile.
        dims: The window dimensions of the data, one or two.
        spatial: Their output iterators.
        taps: Their reduction iterators.
        outer: The other row iterators of the result.
        tiles: Number of tiles along each of them.
        rows_last: Whether rows are innermost in the result (channels first).
        columns: The column iterators of the result; with groups, the one that the channels depend on too.
        grouped: Dimension of the data that holds the channels of all groups, or -1 without groups.
    """

    edge: int
    dims: tuple[int, ...]
    spatial: tuple[Axis, ...]
    taps: tuple[Axis, ...]
    outer: tuple[Axis, ...]
    tiles: tuple[int, ...]
    rows_last: bool
    columns: tuple[Axis, ...]
    grouped: int = -1

    @property
    def matrices(self) -> Matrices:
        """The transforms."""
        return minimal_filter(self.edge, self.taps[0].extent)

    @property
    def size(self) -> int:
        """Points along one edge of a tile of data."""
        return self.edge + self.taps[0].extent - 1

    @property
    def points(self) -> int:
        """Points of a tile of data."""
        return int(self.size ** len(self.dims))

    def point(self, place: Sequence[Any]) -> Any:
        """Return the number of a point."""
        return joined(place, [self.size] * len(self.dims))

    @property
    def row_extents(self) -> tuple[int, ...]:
        """Extents whose product is the number of tiles."""
        return (*(a.extent for a in self.outer), *self.tiles)

    @property
    def row_names(self) -> tuple[str, ...]:
        """Names to go with them."""
        return (*(a.name for a in self.outer), *(a.name for a in self.spatial))

    def placed(self, row: Any, others: list[Any]) -> list[Any]:
        """Return a row and the other indices in the order of the result."""
        return [*others, row] if self.rows_last else [row, *others]


def winograd(program: Program, edge: int) -> Rewrite | None:
    """Rewrite a 3x3 convolution of stride 1, or one of 2 to 5 taps along one dimension.

    Args:
        program: The program.
        edge: Results along one edge of a tile: see :func:`edges_of`.

    Returns:
        The rewrite, or None if the anchor is another computation.
    """
    contraction = anchor_contraction(program)
    geometry = _geometry(contraction, edge) if contraction is not None else None
    if contraction is None or geometry is None:
        return None
    func = emit_written_out(program, contraction.stage, lambda e: _compute(e, contraction, geometry))
    return Rewrite(f"winograd{edge}", func, geometry.matrices.tolerance_scale)


def edges_of(contraction: Contraction) -> tuple[int, ...]:
    """Return which tiles to offer: edges of squares, or lengths with as many points as are accurate."""
    taps = contraction.taps
    if len(contraction.windows) != 1 or len(taps) != 1:
        return EDGES
    return tuple(e for points in POINTS_OF_A_LINE if (e := points + 1 - taps[0].extent) >= EDGES[0])


def _geometry(contraction: Contraction, edge: int) -> Geometry | None:
    data, stage = contraction.data, contraction.stage
    floats = (data.dtype, contraction.weight.dtype, stage.dtype)
    grouped = grouped_channels(contraction)
    columns = contraction.batch if grouped >= 0 else contraction.columns
    if (contraction.batch and grouped < 0) or not columns:
        return None
    if not is_regular(contraction) or set(floats) != {"float32"}:
        return None
    others = [dim for d, dim in enumerate(data.dims) if d != grouped]
    if any(d is None or (not d.is_plain and not d.is_window) for d in others) or len(
        contraction.windows
    ) not in (1, 2):
        return None
    dims = [data.dims[d] for d in contraction.windows]
    spatial = [d.spatial for d in dims if d is not None and d.spatial is not None]
    taps = [d.tap for d in dims if d is not None and d.tap is not None]
    shapes = {(d.stride, d.dilation, d.divisor) for d in dims if d is not None}
    if len(taps) != len(dims) or shapes != {(1, 1, 1)} or not contraction.channels:
        return None
    lengths = {3} if len(taps) == 2 else set(range(2, LONGEST_LINE + 1))
    if any(t.extent not in lengths for t in taps) or any(a.extent < edge for a in spatial):
        return None
    return Geometry(
        edge=edge,
        dims=contraction.windows,
        spatial=tuple(spatial),
        taps=tuple(taps),
        outer=tuple(a for a in contraction.rows if not any(a is s for s in spatial)),
        tiles=tuple(-(-a.extent // edge) for a in spatial),
        rows_last=any(stage.axes[-1] is a for a in contraction.rows),
        columns=columns,
        grouped=grouped,
    )


def _compute(
    emitter: Emitter, contraction: Contraction, geometry: Geometry
) -> tuple[Any, Layout, list[Transform]]:
    stage = contraction.stage
    transforms: list[Transform] = []
    rows = prod(geometry.row_extents)
    channels, columns = contraction.channels, geometry.columns
    tiles = _tiles(emitter, contraction, geometry, transforms)
    kernel = _kernel(emitter, contraction, geometry, transforms)
    loops = reduce_axes(channels)

    def product(uv: Any, *index: Any) -> Any:
        row, others = (index[-1], index[:-1]) if geometry.rows_last else (index[0], index[1:])
        inner = [loop.var for loop in loops]
        source = inner
        if geometry.grouped >= 0:
            bound = [(a.var, i) for a, i in zip((*columns, *channels), (*others, *inner), strict=True)]
            source = [substitute(contraction.data.indices[geometry.grouped], bound)]
        weight = [*others, *inner] if geometry.rows_last else [*inner, *others]
        return combine("sum", tiles(uv, *geometry.placed(row, source)) * kernel(uv, *weight), loops)

    shape = [geometry.points, *geometry.placed(rows, [a.extent for a in columns])]
    names = ["uv", *geometry.placed("p", [a.name for a in columns])]
    by_columns = len(columns) == 1 and not geometry.rows_last
    marks = {TILE_COLUMNS: 1} if by_columns else None
    products = emitter.compute(shape, product, stage.name, names, marks=marks)

    layout = split_layout(stage, [(a, geometry.edge) for a in geometry.spatial])
    points = _loops("uv", geometry.size, geometry)

    def inverse(*index: Any) -> Any:
        given = dict(zip(layout.names, index, strict=True))
        row = joined([given[n] for n in geometry.row_names], geometry.row_extents)
        others = [given[a.name] for a in columns]
        point = geometry.point([loop.var for loop in points])
        return te.sum(products(point, *geometry.placed(row, others)), axis=points)

    result = emitter.compute(layout.shape, inverse, f"{stage.name}_inverse", layout.names)
    inner_positions = tuple(layout.names.index(f"{a.name}_in") for a in geometry.spatial)
    transforms.append(Transform(str(result.op.name), geometry.matrices.result, inner_positions))
    return result, layout, transforms


def _tiles(
    emitter: Emitter, contraction: Contraction, geometry: Geometry, transforms: list[Transform]
) -> Any:
    """The transformed input, [uv, p, channels] (or [uv, channels, p])."""
    data, stage = contraction.data, contraction.stage
    edge, last = geometry.edge, geometry.taps[0].extent - 2
    offsets = [data.dims[d].offset for d in geometry.dims]  # type: ignore[union-attr]
    ranges = {
        d: (offset, offset + tiles * edge + last)
        for d, offset, tiles in zip(geometry.dims, offsets, geometry.tiles, strict=True)
    }
    read = padded_reader(emitter, data, ranges, f"{stage.name}_pad")
    points = _loops("ab", geometry.size, geometry)

    def gather(_: Any, *index: Any) -> Any:
        row, inner = (index[-1], index[:-1]) if geometry.rows_last else (index[0], index[1:])
        place = separated(row, geometry.row_extents)
        outer, tiles = place[: len(geometry.outer)], place[len(geometry.outer) :]
        bound = [(x.var, i) for x, i in zip(geometry.outer, outer, strict=True)]
        if geometry.grouped < 0:
            bound += [(x.var, i) for x, i in zip(contraction.channels, inner, strict=True)]
        source = [substitute(i, bound) for i in data.indices]
        if geometry.grouped >= 0:
            source[geometry.grouped] = inner[0]
        for d, offset, tile, inside in zip(geometry.dims, offsets, tiles, points, strict=True):
            source[d] = tile * edge + inside.var + offset
        return te.sum(read(source), axis=points)

    inner_extents = [x.extent for x in contraction.channels]
    if geometry.grouped >= 0:
        inner_extents = [data.shape[geometry.grouped]]
    shape = [geometry.points, *geometry.placed(prod(geometry.row_extents), inner_extents)]
    names = ["uv", *geometry.placed("p", [x.name for x in contraction.channels])]
    tensor = emitter.compute(shape, gather, f"{stage.name}_tiles", names)
    transforms.append(
        Transform(
            str(tensor.op.name),
            geometry.matrices.data,
            (0,),
            names.index("p"),
            geometry.row_extents,
            geometry.row_names,
        )
    )
    return tensor


def _kernel(
    emitter: Emitter, contraction: Contraction, geometry: Geometry, transforms: list[Transform]
) -> Any:
    """The transformed weight, [uv, channels, columns] (or [uv, columns, channels])."""
    stage, weight = contraction.stage, contraction.weight
    own = (
        (*geometry.columns, *contraction.channels)
        if geometry.rows_last
        else (*contraction.channels, *geometry.columns)
    )
    loops = _loops("ab", geometry.taps[0].extent, geometry)

    def gather(_: Any, *index: Any) -> Any:
        bound = [(x.var, i) for x, i in zip(own, index, strict=True)]
        bound += [(tap.var, loop.var) for tap, loop in zip(geometry.taps, loops, strict=True)]
        return te.sum(guarded_element(emitter, weight, bound), axis=loops)

    shape = [geometry.points, *(x.extent for x in own)]
    tensor = emitter.compute(shape, gather, f"{stage.name}_kernel", ["uv", *(x.name for x in own)])
    transforms.append(Transform(str(tensor.op.name), geometry.matrices.weight, (0,)))
    return tensor


def _loops(names: str, extent: int, geometry: Geometry) -> list[Any]:
    """Return a reduction axis for every filtered dimension."""
    return [te.reduce_axis((0, extent), name=name) for name in names[: len(geometry.dims)]]
