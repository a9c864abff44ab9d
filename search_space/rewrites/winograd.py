"""Winograd convolution F(2x2, 3x3) and F(4x4, 3x3).

before (3x3 taps, stride 1, no dilation)::

    for n, h, w, co, rh, rw, ci:
        out[n, h, w, co] += x[n, h + rh - 1, w + rw - 1, ci] * weight[rh, rw, ci, co]

after (tiles of m x m results from (m+2) x (m+2) inputs; p counts tiles, uv counts (m+2)^2)::

    for n, th, tw, ci:   tiles[uv, p, ci]   = B^T d B      for all uv, straight-line code
    for ci, co:          kernel[uv, ci, co] = G g G^T      for all uv (constant weights: once)
    for uv, p, co, ci:   product[uv, p, co] += tiles[uv, p, ci] * kernel[uv, ci, co]
    for n, th, tw, co:   out[n, m*th + i, m*tw + j, co] = A^T M A   for all i, j

F(2) does 2.25 times fewer multiplications, F(4) 4 times fewer. Measured against double precision
(16 to 512 channels, inputs centred and not), the largest error of F(2) is 0.3 to 0.6 of that of a
plain sum, that of F(4) 0.4 to 10 times as large. F(4) is inexact on integers too (sixths).
A. Lavin and S. Gray, *Fast algorithms for convolutional neural networks* (2016), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, contraction_of, grouped_channels
from search_space.rewrites.emit import Emitter, Layout, combine, emit, reduce_axes
from search_space.rewrites.fuse_rows import joined, separated
from search_space.rewrites.layouts import split_layout
from search_space.rewrites.padding import guarded_element, is_regular, padded_reader
from search_space.rewrites.program import Axis, Program, substitute
from search_space.rewrites.toom_cook import minimal_filter
from search_space.rewrites.unrolled import Transform, write_out
from search_space.rules.places import TILE_COLUMNS
from search_space.tvm_api import te

MATRICES = {edge: minimal_filter(edge, 3) for edge in (2, 4)}
"""By the edge of the tile of results."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Which iterators play which part.

    Attributes:
        edge: Results along one edge of a tile.
        dims: The two window dimensions of the data.
        spatial: Their output iterators.
        taps: Their reduction iterators.
        outer: The other row iterators of the result.
        tiles: Number of tiles along both dimensions.
        rows_last: Whether rows are innermost in the result (channels first).
        columns: The column iterators of the result; with groups, the one that the channels depend on too.
        grouped: Dimension of the data that holds the channels of all groups, or -1 without groups.
    """

    edge: int
    dims: tuple[int, int]
    spatial: tuple[Axis, Axis]
    taps: tuple[Axis, Axis]
    outer: tuple[Axis, ...]
    tiles: tuple[int, int]
    rows_last: bool
    columns: tuple[Axis, ...]
    grouped: int = -1

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
    """Rewrite a 3x3 convolution of stride 1.

    Args:
        program: The program.
        edge: Results along one edge of a tile: 2 or 4.

    Returns:
        The rewrite, or None if the anchor is another computation.
    """
    stage = program.anchor()
    contraction = contraction_of(program, stage) if stage is not None else None
    geometry = _geometry(contraction, edge) if contraction is not None else None
    if contraction is None or geometry is None:
        return None
    transforms: list[Transform] = []
    func = emit(program, [(contraction.stage, lambda e: _compute(e, contraction, geometry, transforms))])
    for transform in transforms:
        func = write_out(func, transform)
    return Rewrite(f"winograd{edge}", func, MATRICES[edge].tolerance_scale)


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
    if (
        any(d is None or (not d.is_plain and not d.is_window) for d in others)
        or len(contraction.windows) != 2
    ):
        return None
    dims = [data.dims[d] for d in contraction.windows]
    spatial = [d.spatial for d in dims if d is not None and d.spatial is not None]
    taps = [d.tap for d in dims if d is not None and d.tap is not None]
    shapes = {(d.stride, d.dilation, d.divisor) for d in dims if d is not None}
    if (
        len(taps) != 2
        or shapes != {(1, 1, 1)}
        or any(t.extent != 3 for t in taps)
        or not contraction.channels
    ):
        return None
    if any(a.extent < edge for a in spatial):
        return None
    return Geometry(
        edge=edge,
        dims=(contraction.windows[0], contraction.windows[1]),
        spatial=(spatial[0], spatial[1]),
        taps=(taps[0], taps[1]),
        outer=tuple(a for a in contraction.rows if not any(a is s for s in spatial)),
        tiles=(-(-spatial[0].extent // edge), -(-spatial[1].extent // edge)),
        rows_last=any(stage.axes[-1] is a for a in contraction.rows),
        columns=columns,
        grouped=grouped,
    )


def _compute(
    emitter: Emitter, contraction: Contraction, geometry: Geometry, transforms: list[Transform]
) -> tuple[Any, Layout]:
    stage, matrices = contraction.stage, MATRICES[geometry.edge]
    size = geometry.edge + 2
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

    shape = [size * size, *geometry.placed(rows, [a.extent for a in columns])]
    names = ["uv", *geometry.placed("p", [a.name for a in columns])]
    by_columns = len(columns) == 1 and not geometry.rows_last and geometry.grouped < 0
    marks = {TILE_COLUMNS: 1} if by_columns else None
    products = emitter.compute(shape, product, stage.name, names, marks=marks)

    layout = split_layout(stage, [(a, geometry.edge) for a in geometry.spatial])
    u, v = te.reduce_axis((0, size), name="u"), te.reduce_axis((0, size), name="v")

    def inverse(*index: Any) -> Any:
        given = dict(zip(layout.names, index, strict=True))
        row = joined([given[n] for n in geometry.row_names], geometry.row_extents)
        others = [given[a.name] for a in columns]
        return te.sum(products(u * size + v, *geometry.placed(row, others)), axis=[u, v])

    result = emitter.compute(layout.shape, inverse, f"{stage.name}_inverse", layout.names)
    inner_positions = tuple(layout.names.index(f"{a.name}_in") for a in geometry.spatial)
    transforms.append(Transform(str(result.op.name), matrices.result, inner_positions))
    return result, layout


def _tiles(
    emitter: Emitter, contraction: Contraction, geometry: Geometry, transforms: list[Transform]
) -> Any:
    """The transformed input, [uv, p, channels] (or [uv, channels, p])."""
    data, stage = contraction.data, contraction.stage
    size, edge = geometry.edge + 2, geometry.edge
    offsets = [data.dims[d].offset for d in geometry.dims]  # type: ignore[union-attr]
    ranges = {
        d: (offset, offset + tiles * edge + 1)
        for d, offset, tiles in zip(geometry.dims, offsets, geometry.tiles, strict=True)
    }
    read = padded_reader(emitter, data, ranges, f"{stage.name}_pad")
    a, b = te.reduce_axis((0, size), name="a"), te.reduce_axis((0, size), name="b")

    def gather(_: Any, *index: Any) -> Any:
        row, inner = (index[-1], index[:-1]) if geometry.rows_last else (index[0], index[1:])
        *outer, tile_h, tile_w = separated(row, geometry.row_extents)
        bound = [(x.var, i) for x, i in zip(geometry.outer, outer, strict=True)]
        if geometry.grouped < 0:
            bound += [(x.var, i) for x, i in zip(contraction.channels, inner, strict=True)]
        source = [substitute(i, bound) for i in data.indices]
        if geometry.grouped >= 0:
            source[geometry.grouped] = inner[0]
        for d, offset, tile, inside in zip(geometry.dims, offsets, (tile_h, tile_w), (a, b), strict=True):
            source[d] = tile * edge + inside.var + offset
        return te.sum(read(source), axis=[a, b])

    inner_extents = [x.extent for x in contraction.channels]
    if geometry.grouped >= 0:
        inner_extents = [data.shape[geometry.grouped]]
    shape = [size * size, *geometry.placed(prod(geometry.row_extents), inner_extents)]
    names = ["uv", *geometry.placed("p", [x.name for x in contraction.channels])]
    tensor = emitter.compute(shape, gather, f"{stage.name}_tiles", names)
    transforms.append(
        Transform(
            str(tensor.op.name),
            MATRICES[edge].data,
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
    size = geometry.edge + 2
    own = (
        (*geometry.columns, *contraction.channels)
        if geometry.rows_last
        else (*contraction.channels, *geometry.columns)
    )
    a, b = te.reduce_axis((0, 3), name="a"), te.reduce_axis((0, 3), name="b")

    def gather(_: Any, *index: Any) -> Any:
        bound = [(x.var, i) for x, i in zip(own, index, strict=True)]
        bound += [(geometry.taps[0].var, a.var), (geometry.taps[1].var, b.var)]
        return te.sum(guarded_element(emitter, weight, bound), axis=[a, b])

    shape = [size * size, *(x.extent for x in own)]
    tensor = emitter.compute(shape, gather, f"{stage.name}_kernel", ["uv", *(x.name for x in own)])
    transforms.append(Transform(str(tensor.op.name), MATRICES[geometry.edge].weight, (0,)))
    return tensor
