"""Winograd convolution for any kernel, stride and dilation, by rows of tiles.

before (a first layer: 7x7 taps, stride 2, 3 channels)::

    for n, h, w, co, rh, rw, ci:
        out[n, h, w, co] += x[n, 2*h + rh - 3, 2*w + rw - 3, ci] * weight[rh, rw, ci, co]

after (F(4, 4): 4x4 results from 7x7 points of each of 2x2 interleaved filters of 4x4 taps)::

    for n, th, tw, ph, q:       tiles[uv, n, th, tw, ph, q]  = B^T d B     for all uv
    for ph, q, co:              kernel[uv, ph, q, co]        = G g G^T     for all uv
    for uv, n, th, tw, co, ph, q:
        product[uv, n, th, tw, co] += tiles[uv, n, th, tw, ph, q] * kernel[uv, ph, q, co]
    for n, th, tw, co:          out[n, 4*th + i, 4*tw + j, co] = A^T M A   for all i, j

49 * 12 products for 16 results where the sum has 147 each: four times fewer. Parts and channels that
lie side by side are one axis q. Windows over further dimensions (depth) stay windows, over planes of tiles.
Tile rows are independent of each other: ``rules/tile_parts.py`` runs all stages row by row, so that the
products, which are several times the size of the result, never leave the second cache level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.rewrites.affine import Dim
from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction
from search_space.rewrites.emit import Emitter, Layout, combine, reduce_axes
from search_space.rewrites.filtering import Filtered, filtered, nested
from search_space.rewrites.padding import is_regular, padded_reader, window_index, window_range
from search_space.rewrites.program import Axis, Program, substitute
from search_space.rewrites.toom_cook import minimal_filter
from search_space.rewrites.unrolled import Transform, emit_written_out
from search_space.rules.places import TILE_COLUMNS, TILE_ROWS
from search_space.tvm_api import te, tirx

EDGES = (2, 4)
"""Results along one edge of a tile; more cost too much accuracy."""
SHORT = 16
"""Channels fewer than this are joined with the interleaved parts of a row."""
MAX_WORK = 0.7
"""Share of the arithmetic of the sum, transforms included, up to which the rewrite is offered."""
MIN_COLUMNS = 16
"""Fewer results than this share a transformed tile too little."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Which iterators play which part.

    Attributes:
        rows: The two filtered dimensions of the data.
        filters: How they are cut.
        outer: The output iterators before them.
        planes: Dimensions of the data that are neither filtered nor channels.
        channels: Dimensions of the data that are channels.
        joined: Whether parts of a row and channels are one axis.
    """

    rows: tuple[int, int]
    filters: tuple[Filtered, Filtered]
    outer: tuple[Axis, ...]
    planes: tuple[int, ...]
    channels: tuple[int, ...]
    joined: bool


def winograd_tiles(
    program: Program, edges: Sequence[int] = EDGES, most_work: float = MAX_WORK
) -> Rewrite | None:
    """Rewrite a convolution over two or more dimensions, with the tile that leaves least to compute.

    Args:
        program: The program.
        edges: Results along one edge of a tile, to choose from.
        most_work: Share of the arithmetic of the sum up to which it is offered.

    Returns:
        The rewrite, or None if the anchor is another computation or hardly less is left to compute.
    """
    contraction = anchor_contraction(program)
    if contraction is None:
        return None
    geometries = [g for edge in edges if (g := _geometry(contraction, edge)) is not None]
    geometry = min(geometries, key=lambda g: work(contraction, g), default=None)
    if geometry is None or work(contraction, geometry) > most_work:
        return None
    edge, taps = geometry.filters[0].edge, geometry.filters[0].taps
    builder = _Builder(contraction, geometry)
    func = emit_written_out(program, contraction.stage, builder.build)
    return Rewrite(f"winograd{edge}.{taps}", func, minimal_filter(edge, taps).tolerance_scale)


def work(contraction: Contraction, geometry: Geometry) -> float:
    """Return the arithmetic for one result over that of the sum, transforms of data and results included."""
    first, second = geometry.filters
    size, edge = first.size, first.edge
    whole = prod(a.extent for a in contraction.stage.reduction)
    others = whole / (first.tap.extent * second.tap.extent)
    columns = prod(a.extent for a in contraction.columns)
    cut = prod(f.tiles * f.phases * edge / f.spatial.extent for f in geometry.filters)
    parts = first.parts * second.parts
    products = size**2 * parts * first.blocks * second.blocks * others / edge**2
    channels = prod(contraction.data.shape[d] for d in geometry.channels)
    # Half of each matrix is zeros, ones or shared between opposite points.
    results = (size * size * edge + size * edge * edge) / 2 / edge**2
    data = size**3 * parts * channels / edge**2 / columns
    return float(cut * (products + results + data) / whole)


def _geometry(contraction: Contraction, edge: int) -> Geometry | None:
    data, weight, stage = contraction.data, contraction.weight, contraction.stage
    is_float = {data.dtype, weight.dtype, stage.dtype} == {"float32"}
    if contraction.batch or not contraction.columns or not is_regular(contraction) or not is_float:
        return None
    if weight.conditions or any(d is None for d in (*data.dims, *weight.dims)):
        return None
    dims: list[Dim] = [d for d in data.dims if d is not None]
    cuts = {d: filtered(dim, edge) for d, dim in enumerate(dims)}
    rows = tuple(d for d, cut in cuts.items() if cut is not None)[-2:]
    filters = tuple(cut for d in rows if (cut := cuts[d]) is not None)
    if len(rows) != 2 or rows[1] != rows[0] + 1 or len({f.taps for f in filters}) > 1:
        return None
    channels = tuple(d for d, dim in enumerate(dims) if dim.spatial is None and dim.is_plain)
    planes = tuple(d for d in range(len(dims)) if d not in (*rows, *channels))
    if any(dims[d].spatial is None or dims[d].divisor > 1 for d in planes) or not channels:
        return None
    count = len(stage.axes) - len(contraction.columns) - 2
    spatial = stage.axes[count : count + 2]
    in_order = all(a is f.spatial for a, f in zip(spatial, filters, strict=True))
    last = all(any(a is c for c in contraction.columns) for a in stage.axes[count + 2 :])
    if count < 0 or not in_order or not last or filters[0].tiles * filters[1].tiles == 1:
        return None
    if prod(a.extent for a in contraction.columns) < MIN_COLUMNS:
        return None
    if any(_weight_dimension(contraction, f) is None for f in filters):
        return None
    joined = (
        len(channels) == 1
        and channels[0] == rows[1] + 1
        and data.shape[channels[0]] < SHORT
        and filters[1].parts > 1
        and filters[1].part_step == 1
    )
    return Geometry(
        (rows[0], rows[1]), (filters[0], filters[1]), stage.axes[:count], planes, channels, joined
    )


def _weight_dimension(contraction: Contraction, cut: Filtered) -> int | None:
    found = [
        d
        for d, dim in enumerate(contraction.weight.dims)
        if dim is not None and dim.tap is cut.tap and dim.is_plain
    ]
    return found[0] if len(found) == 1 else None


class _Builder:
    """Builds the four stages.

    Axes stand in this order: transform positions, phases, planes (or outer axes), tiles, blocks, parts,
    channels, columns; those of extent one that a convolution does not need are left out.
    """

    def __init__(self, contraction: Contraction, geometry: Geometry) -> None:
        self.contraction, self.geometry = contraction, geometry
        self.transforms: list[Transform] = []
        self.size, self.edge = geometry.filters[0].size, geometry.filters[0].edge
        self.matrices = minimal_filter(self.edge, geometry.filters[0].taps)
        self.phased = [f for f in geometry.filters if f.phases > 1]
        self.blocked = [f for f in geometry.filters if f.blocks > 1]
        parted = [f for f in geometry.filters if f.parts > 1]
        self.parted = [f for f in parted if not (geometry.joined and f is geometry.filters[1])]
        dims = contraction.data.dims
        taps = [dim.tap for d in geometry.channels if (dim := dims[d]) is not None]
        self.inner: list[Axis] = [tap for tap in taps if tap is not None]
        self.first_plane = {d: self._plane_range(d)[0] for d in geometry.planes}

    def _plane_range(self, d: int) -> tuple[int, int]:
        dim = self.contraction.data.dims[d]
        assert dim is not None
        return window_range(self.contraction, d) if dim.is_window else (0, dim.extent - 1)

    def build(self, emitter: Emitter) -> tuple[Any, Layout, list[Transform]]:
        """Build the product and the transform of the results."""
        stage, geometry = self.contraction.stage, self.geometry
        tiles, kernel = self._tiles(emitter), self._kernel(emitter)
        others = [a for a in stage.reduction if not any(a is f.tap for f in geometry.filters)]
        others = [a for a in others if not any(a is c for c in self.inner)]
        loops = reduce_axes(others)
        blocks = [te.reduce_axis((0, f.blocks), name=f"{f.tap.name}_block") for f in self.blocked]
        inner = [te.reduce_axis((0, e), name=n) for n, e in self._inner_axes()]
        phases, outer = len(self.phased), len(geometry.outer)

        def product(uv: Any, *index: Any) -> Any:
            bound = [(a.var, loop.var) for a, loop in zip(others, loops, strict=True)]
            bound += zip((a.var for a in geometry.outer), index[phases : phases + outer], strict=True)
            planes = [window_index(self.contraction, d, bound) - self.first_plane[d] for d in geometry.planes]
            moved = {id(f): b.var for f, b in zip(self.blocked, blocks, strict=True)}
            at = [
                tile + moved[id(f)] if id(f) in moved else tile
                for f, tile in zip(geometry.filters, index[phases + outer : phases + outer + 2], strict=True)
            ]
            steps = [a.var for a in inner]
            left = tiles(uv, *index[:phases], *planes, *at, *steps)
            right = kernel(
                uv, *(a.var for a in loops), *(b.var for b in blocks), *steps, *index[phases + outer + 2 :]
            )
            return combine("sum", left * right, [*loops, *blocks, *inner])

        shape = [self.size**2, *(f.phases for f in self.phased), *(a.extent for a in geometry.outer)]
        names = ["uv", *(f"{f.spatial.name}_phase" for f in self.phased), *(a.name for a in geometry.outer)]
        shape += [f.tiles for f in geometry.filters] + [a.extent for a in self.contraction.columns]
        names += [f.spatial.name for f in geometry.filters] + [a.name for a in self.contraction.columns]
        row = 1 + len(self.phased) + len(geometry.outer)
        marks: dict[str, Any] = {
            TILE_ROWS: [row, len(geometry.outer), self.edge * geometry.filters[0].phases]
        }
        if len(self.contraction.columns) == 1:
            marks[TILE_COLUMNS] = 1
        products = emitter.compute(shape, product, stage.name, names, marks=marks)
        return (*self._inverse(emitter, products), self.transforms)

    def _inverse(self, emitter: Emitter, products: Any) -> tuple[Any, Layout]:
        layout = self._layout()
        count = len(self.geometry.outer)
        u, v = te.reduce_axis((0, self.size), name="u"), te.reduce_axis((0, self.size), name="v")

        def inverse(*index: Any) -> Any:
            rest = list(index[count:])
            tiles, phases = [], []
            for f in self.geometry.filters:
                tiles.append(rest.pop(0))
                rest.pop(0)
                if f.phases > 1:
                    phases.append(rest.pop(0))
            place = [*phases, *index[:count], *tiles, *rest]
            return te.sum(products(u * self.size + v, *place), axis=[u, v])

        name = f"{self.contraction.stage.name}_inverse"
        result = emitter.compute(layout.shape, inverse, name, layout.names)
        inside = tuple(layout.names.index(f"{f.spatial.name}_in") for f in self.geometry.filters)
        self.transforms.append(Transform(str(result.op.name), self.matrices.result, inside))
        return result, layout

    def _layout(self) -> Layout:
        stage, filters = self.contraction.stage, self.geometry.filters
        shape: list[int] = []
        names: list[str] = []
        for axis in stage.axes:
            f = next((f for f in filters if f.spatial is axis), None)
            shape += [axis.extent] if f is None else [f.tiles, *_factors(f)]
            names += (
                [axis.name]
                if f is None
                else [axis.name, f"{axis.name}_in", f"{axis.name}_phase"][: len(_factors(f)) + 1]
            )

        def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
            result: list[Any] = []
            for axis, i in zip(stage.axes, index, strict=True):
                f = next((f for f in filters if f.spatial is axis), None)
                result += [i] if f is None else nested(i, _factors(f))
            return tuple(result)

        def to_old(index: tuple[Any, ...]) -> tuple[Any, ...]:
            rest, result = list(index), []
            for axis in stage.axes:
                f = next((f for f in filters if f.spatial is axis), None)
                position = rest.pop(0)
                for factor in _factors(f) if f is not None else ():
                    position = position * factor + rest.pop(0)
                result.append(position)
            return tuple(result)

        exact = all(f.tiles * prod(_factors(f)) == f.spatial.extent for f in filters)
        return Layout(tuple(shape), tuple(names), to_new, to_old if exact else None)

    def _inner_axes(self) -> list[tuple[str, int]]:
        """Return names and extents of what is summed within a tile: parts and channels."""
        found = [(f"{f.tap.name}_part", f.parts) for f in self.parted]
        if self.geometry.joined:
            return [*found, ("q", self.geometry.filters[1].parts * self.inner[0].extent)]
        return [*found, *((a.name, a.extent) for a in self.inner)]

    def _parts_of(self, index: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return the parts of both filters and the channels that an index of ``_inner_axes`` means."""
        rest = list(index)
        parts = {id(f): rest.pop(0) for f in self.parted}
        if self.geometry.joined:
            whole = rest.pop(0)
            extent = self.inner[0].extent
            parts[id(self.geometry.filters[1])] = tirx.floordiv(whole, extent)
            rest = [tirx.floormod(whole, extent)]
        return [parts.get(id(f), 0) for f in self.geometry.filters], rest

    def _tiles(self, emitter: Emitter) -> Any:
        geometry, data = self.geometry, self.contraction.data
        ranges = dict(zip(geometry.rows, (f.read for f in geometry.filters), strict=True))
        ranges |= {d: self._plane_range(d) for d in geometry.planes}
        name = f"{self.contraction.stage.name}_pad"
        read = padded_reader(emitter, data, ranges, name, is_kept=True, is_joined=geometry.joined)
        a, b = te.reduce_axis((0, self.size), name="a"), te.reduce_axis((0, self.size), name="b")
        phases, planes = len(self.phased), len(geometry.planes)

        def gather(_: Any, *index: Any) -> Any:
            phase = dict(zip((id(f) for f in self.phased), index[:phases], strict=True))
            source: list[Any] = [0] * len(data.shape)
            for d, i in zip(geometry.planes, index[phases : phases + planes], strict=True):
                source[d] = i + self.first_plane[d]
            tiles = index[phases + planes : phases + planes + 2]
            parts, channels = self._parts_of(list(index[phases + planes + 2 :]))
            for d, f, tile, part, inside in zip(
                geometry.rows, geometry.filters, tiles, parts, (a.var, b.var), strict=True
            ):
                source[d] = f.position(tile, phase.get(id(f), 0), part, inside)
            for d, i in zip(geometry.channels, channels, strict=True):
                source[d] = i
            return te.sum(read(source), axis=[a, b])

        extents = [last - first + 1 for first, last in map(self._plane_range, geometry.planes)]
        shape = [self.size**2, *(f.phases for f in self.phased), *extents]
        names = ["uv", *(f"{f.spatial.name}_phase" for f in self.phased)]
        names += [f"i{d}" for d in geometry.planes] + [f.spatial.name for f in geometry.filters]
        shape += [f.data_tiles for f in geometry.filters] + [e for _, e in self._inner_axes()]
        names += [n for n, _ in self._inner_axes()]
        name = f"{self.contraction.stage.name}_tiles"
        tensor = emitter.compute(shape, gather, name, names)
        self.transforms.append(Transform(str(tensor.op.name), self.matrices.data, (0,)))
        return tensor

    def _kernel(self, emitter: Emitter) -> Any:
        geometry, weight, stage = self.geometry, self.contraction.weight, self.contraction.stage
        ranges: dict[int, tuple[int, int]] = {}
        for f in geometry.filters:
            d = _weight_dimension(self.contraction, f)
            assert d is not None
            ranges[d] = (0, f.padded_taps - 1)
        read = padded_reader(emitter, weight, ranges, f"{stage.name}_taps", is_kept=True)
        others = [a for a in stage.reduction if not any(a is f.tap for f in geometry.filters)]
        others = [a for a in others if not any(a is c for c in self.inner)]
        taps = geometry.filters[0].taps
        a, b = te.reduce_axis((0, taps), name="a"), te.reduce_axis((0, taps), name="b")

        def gather(_: Any, *index: Any) -> Any:
            rest = list(index)
            bound = [(x.var, rest.pop(0)) for x in others]
            block = {id(f): rest.pop(0) for f in self.blocked}
            inner = [rest.pop(0) for _ in self._inner_axes()]
            parts, channels = self._parts_of(inner)
            bound += [(x.var, i) for x, i in zip(self.inner, channels, strict=True)]
            bound += [(x.var, i) for x, i in zip(self.contraction.columns, rest, strict=True)]
            for f, part, inside in zip(geometry.filters, parts, (a.var, b.var), strict=True):
                bound.append((f.tap.var, f.tap_at(part, block.get(id(f), 0), inside)))
            return te.sum(read([substitute(i, bound) for i in weight.indices]), axis=[a, b])

        axes = [(x.name, x.extent) for x in others]
        axes += [(f"{f.tap.name}_block", f.blocks) for f in self.blocked]
        axes += [*self._inner_axes(), *((x.name, x.extent) for x in self.contraction.columns)]
        tensor = emitter.compute(
            [self.size**2, *(e for _, e in axes)],
            gather,
            f"{stage.name}_kernel",
            ["uv", *(n for n, _ in axes)],
        )
        self.transforms.append(Transform(str(tensor.op.name), self.matrices.weight, (0,)))
        return tensor


def _factors(f: Filtered) -> tuple[int, ...]:
    return (f.edge, f.phases) if f.phases > 1 else (f.edge,)
