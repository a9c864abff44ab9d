"""Winograd for transposed convolutions: every phase of the result is a short convolution of stride 1.

before (4x4 taps, stride 2; phase p = h % 2 meets two of the four taps)::

    for n, h, w, co, th, tw, ci:
        out[n, h, w, co] += (x[n, h/2 + e(h%2) - th, w/2 + e(w%2) - tw, ci]
                             * weight[f(h%2, th), f(w%2, tw), ci, co])

after (F(2, 2) on each of 2x2 phases: 3x3 points for 2x2 results; p counts tiles, uv points)::

    for ph, pw, p, ci:   tiles[uv, ph, pw, p, ci]    = B^T d B     for all uv
    for ph, pw, ci, co:  kernel[uv, ph, pw, ci, co]  = G g G^T     for all uv
    for uv, ph, pw, p, co, ci:
        product[uv, ph, pw, p, co] += tiles[uv, ph, pw, p, ci] * kernel[uv, ph, pw, ci, co]
    for n, th, tw, ph, pw, co:
        out[n, 2*(2*th + i) + ph, 2*(2*tw + j) + pw, co] = A^T M A     for all i, j

9 products for 4 results where the sum has 16. Phases read tiles of their own: moved by one, they share
no points. Both forms of the program are recognised: with the phases written out (as our own operator is),
and as a sum over an input with zeros inserted (as models are imported).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from search_space.rewrites.affine import axes_in, evaluate
from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction
from search_space.rewrites.emit import Emitter, Layout, combine, reduce_axes
from search_space.rewrites.filtering import nested
from search_space.rewrites.fuse_rows import joined, separated
from search_space.rewrites.padding import padded_reader
from search_space.rewrites.program import Axis, Program, substitute
from search_space.rewrites.toom_cook import minimal_filter
from search_space.rewrites.transposed import phase_table, phases_of
from search_space.rewrites.unrolled import Transform, emit_written_out
from search_space.rules.places import TILE_COLUMNS
from search_space.tvm_api import te

MOST_STRIDE = 4
MIN_CHANNELS = 16
"""Input or output channels below which the transforms cost what they save."""
MIN_TILES = 4
"""Tiles of a phase; fewer rows use the transformed kernel too little."""

Binding = Callable[[Any, Any], list[tuple[Any, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class PhasedDim:
    """One dimension of the data whose outputs lie phase by phase.

    Attributes:
        position: Dimension of the data.
        spatial: Output iterator.
        tap: Reduction iterator.
        stride: Number of phases.
        taps: Taps of each phase.
        offsets: For each phase, which position its first output and first point read.
        bound: From phase and tap of the phase to what the stage's iterators are in the weight's index.
    """

    position: int
    spatial: Axis
    tap: Axis
    stride: int
    taps: int
    offsets: tuple[int, ...]
    bound: Binding

    @property
    def outputs(self) -> int:
        """Outputs of one phase."""
        return self.spatial.extent // self.stride


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Which iterators play which part.

    Attributes:
        edge: Results along one edge of a tile.
        dims: The two phased dimensions.
        outer: The output iterators before them.
        channels: Reduction iterators that are no taps.
        column: The output iterator of the weight.
        weight: The weight's buffer and index.
    """

    edge: int
    dims: tuple[PhasedDim, PhasedDim]
    outer: tuple[Axis, ...]
    channels: tuple[Axis, ...]
    column: Axis
    weight: tuple[Any, tuple[Any, ...]]

    @property
    def size(self) -> int:
        """Points along one edge of a tile of data."""
        return self.edge + self.dims[0].taps - 1

    @property
    def tiles(self) -> tuple[int, ...]:
        """Tiles of one phase along both dimensions."""
        return tuple(-(-dim.outputs // self.edge) for dim in self.dims)

    @property
    def row_extents(self) -> tuple[int, ...]:
        """Extents whose product is the number of tiles of a phase."""
        return (*(a.extent for a in self.outer), *self.tiles)

    @property
    def row_names(self) -> tuple[str, ...]:
        """Names to go with them."""
        return (*(a.name for a in self.outer), *(dim.spatial.name for dim in self.dims))

    @property
    def phases(self) -> tuple[int, int]:
        """Phases along both dimensions."""
        return self.dims[0].stride, self.dims[1].stride


def winograd_phases(program: Program, edge: int) -> Rewrite | None:
    """Rewrite a transposed convolution over two dimensions.

    Args:
        program: The program, lifted with its phases joined.
        edge: Results along one edge of a tile.

    Returns:
        The rewrite, or None if the anchor is another computation or too small.
    """
    contraction = anchor_contraction(program)
    geometry = _geometry(contraction, edge) if contraction is not None else None
    if contraction is None or geometry is None:
        return None
    builder = _Builder(contraction, geometry)
    func = emit_written_out(program, contraction.stage, builder.build)
    return Rewrite(f"winograd{edge}.phases", func, builder.matrices.tolerance_scale)


def _geometry(contraction: Contraction, edge: int) -> Geometry | None:
    data, weight, stage = contraction.data, contraction.weight, contraction.stage
    if {data.dtype, weight.dtype, stage.dtype} != {"float32"} or len(contraction.columns) != 1:
        return None
    found = [_phased(contraction, d) for d in range(len(data.shape))]
    dims = [dim for dim in found if dim is not None]
    if len(dims) != 2 or dims[1].position != dims[0].position + 1 or dims[0].taps != dims[1].taps:
        return None
    others = [dim for d, dim in enumerate(data.dims) if found[d] is None]
    if any(dim is None or not dim.is_plain for dim in others):
        return None
    read = (
        (weight.buffer, weight.indices) if not weight.conditions else (weight.direct, weight.direct_indices)
    )
    if weight.conditions and weight.direct.same_as(weight.buffer):
        return None
    channels = tuple(a for a in stage.reduction if not any(a is dim.tap for dim in dims))
    column, taps = contraction.columns[0], dims[0].taps
    count = len(stage.axes) - 3
    in_order = all(a is dim.spatial for a, dim in zip(stage.axes[count:], dims, strict=False))
    if count < 0 or not in_order or stage.axes[-1] is not column or taps < 2 or not channels:
        return None
    if min(column.extent, prod(a.extent for a in channels)) < MIN_CHANNELS:
        return None
    geometry = Geometry(edge, (dims[0], dims[1]), stage.axes[:count], channels, column, read)
    waste = prod(t * edge / dim.outputs for t, dim in zip(geometry.tiles, dims, strict=True))
    is_less = (geometry.size / edge / taps) ** 2 * waste < 1
    return geometry if is_less and prod(geometry.row_extents) >= MIN_TILES else None


def _phased(contraction: Contraction, d: int) -> PhasedDim | None:
    """Read the phases of a dimension off its index, or off the zeros inserted into it."""
    dim = contraction.data.dims[d]
    if dim is None:
        return _written_out(contraction, d)
    if dim.divisor == 1 or (phases := phases_of(d, dim)) is None or not phases.is_complete:
        return None
    if phases.spatial.extent % phases.stride:
        return None

    def bound(phase: Any, tap: Any) -> list[tuple[Any, Any]]:
        own = tap if phases.direction == 1 else phases.taps - 1 - tap
        return [(phases.tap.var, phase_table(phase, phases.first) + own * phases.stride)]

    offsets = _offsets(phases.shift, phases.direction, phases.taps)
    return PhasedDim(d, phases.spatial, phases.tap, phases.stride, phases.taps, offsets, bound)


def _offsets(shift: Sequence[int], direction: int, taps: int) -> tuple[int, ...]:
    """Return where the window of each phase begins."""
    return tuple(s if direction == 1 else s - (taps - 1) for s in shift)


def _written_out(contraction: Contraction, d: int) -> PhasedDim | None:
    data, weight, stage = contraction.data, contraction.weight, contraction.stage
    used = axes_in(data.indices[d], (*stage.axes, *stage.reduction))
    if [a.is_reduction for a in used] != [False, True]:
        return None
    spatial, tap = used
    h, t = np.meshgrid(np.arange(spatial.extent), np.arange(tap.extent), indexing="ij")
    values = [(spatial.var, h), (tap.var, t)]
    own = [c for c in data.conditions if axes_in(c, used)]
    weights = [i for i in weight.indices if axes_in(i, (tap,))]
    if len(weights) != 1 or tap.extent < 2:
        return None
    try:
        at = np.broadcast_to(evaluate(data.indices[d], values), h.shape)
        valid = np.ones(h.shape, bool)
        for condition in own:
            valid &= np.broadcast_to(evaluate(condition, values), h.shape)
        taken = np.broadcast_to(evaluate(weights[0], values), h.shape)
    except ValueError:
        return None
    direction = int(at[0, 1] - at[0, 0])
    if abs(direction) != 1 or not np.array_equal(valid, (at >= 0) & (at < data.shape[d])):
        return None
    for stride in range(2, MOST_STRIDE + 1):
        if spatial.extent % stride:
            continue
        phase = h % stride
        shift = at[:stride, 0]
        if np.array_equal(at, h // stride + shift[phase] + direction * t) and np.array_equal(
            taken, taken[:stride][phase, t]
        ):
            break
    else:
        return None

    def bound(phase: Any, inside: Any) -> list[tuple[Any, Any]]:
        own = inside if direction == 1 else tap.extent - 1 - inside
        return [(spatial.var, phase), (tap.var, own)]

    offsets = _offsets([int(s) for s in shift], direction, tap.extent)
    return PhasedDim(d, spatial, tap, stride, tap.extent, offsets, bound)


class _Builder:
    """Builds the stages; axes are points, phases, rows of tiles, channels, columns in this order."""

    def __init__(self, contraction: Contraction, geometry: Geometry) -> None:
        self.contraction, self.geometry = contraction, geometry
        self.transforms: list[Transform] = []
        self.matrices = minimal_filter(geometry.edge, geometry.dims[0].taps)
        self.phase_names = [f"{dim.spatial.name}_phase" for dim in geometry.dims]

    def build(self, emitter: Emitter) -> tuple[Any, Layout, list[Transform]]:
        """Build the product and the transform of the results."""
        geometry, stage, size = self.geometry, self.contraction.stage, self.geometry.size
        tiles, kernel = self._tiles(emitter), self._kernel(emitter)
        loops = reduce_axes(geometry.channels)

        def product(uv: Any, first: Any, second: Any, row: Any, column: Any) -> Any:
            inner = [loop.var for loop in loops]
            left = tiles(uv, first, second, row, *inner)
            return combine("sum", left * kernel(uv, first, second, *inner, column), loops)

        shape = [size**2, *geometry.phases, prod(geometry.row_extents), geometry.column.extent]
        names = ["uv", *self.phase_names, "p", geometry.column.name]
        products = emitter.compute(shape, product, stage.name, names, marks={TILE_COLUMNS: 1})
        layout = self._layout()
        u, v = te.reduce_axis((0, size), name="u"), te.reduce_axis((0, size), name="v")

        def inverse(*index: Any) -> Any:
            given = dict(zip(layout.names, index, strict=True))
            row = joined([given[n] for n in geometry.row_names], geometry.row_extents)
            phases = [given[n] for n in self.phase_names]
            return te.sum(products(u * size + v, *phases, row, index[-1]), axis=[u, v])

        result = emitter.compute(layout.shape, inverse, f"{stage.name}_inverse", layout.names)
        inside = tuple(layout.names.index(f"{dim.spatial.name}_in") for dim in geometry.dims)
        self.transforms.append(Transform(str(result.op.name), self.matrices.result, inside))
        return result, layout, self.transforms

    def _layout(self) -> Layout:
        geometry, stage = self.geometry, self.contraction.stage
        factors = {id(dim.spatial): (geometry.edge, dim.stride) for dim in geometry.dims}
        counts = {id(d.spatial): t for d, t in zip(geometry.dims, geometry.tiles, strict=True)}
        shape: list[int] = []
        names: list[str] = []
        for axis in stage.axes:
            own = factors.get(id(axis), ())
            shape += [counts.get(id(axis), axis.extent), *own]
            names += [axis.name, *([f"{axis.name}_in", f"{axis.name}_phase"] if own else [])]

        def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
            parts = [nested(i, factors.get(id(a), ())) for a, i in zip(stage.axes, index, strict=True)]
            return tuple(i for part in parts for i in part)

        def to_old(index: tuple[Any, ...]) -> tuple[Any, ...]:
            rest, result = list(index), []
            for axis in stage.axes:
                position = rest.pop(0)
                for factor in factors.get(id(axis), ()):
                    position = position * factor + rest.pop(0)
                result.append(position)
            return tuple(result)

        exact = all(
            t * geometry.edge == d.outputs for t, d in zip(geometry.tiles, geometry.dims, strict=True)
        )
        return Layout(tuple(shape), tuple(names), to_new, to_old if exact else None)

    def _tiles(self, emitter: Emitter) -> Any:
        geometry, data, size = self.geometry, self.contraction.data, self.geometry.size
        ranges = {
            dim.position: (min(dim.offsets), max(dim.offsets) + geometry.edge * (tiles - 1) + size - 1)
            for dim, tiles in zip(geometry.dims, geometry.tiles, strict=True)
        }
        name = self.contraction.stage.name
        read = padded_reader(emitter, data, ranges, f"{name}_pad", is_kept=True)
        a, b = te.reduce_axis((0, size), name="a"), te.reduce_axis((0, size), name="b")

        def gather(_: Any, first: Any, second: Any, row: Any, *inner: Any) -> Any:
            *outer, tile_h, tile_w = separated(row, geometry.row_extents)
            bound = [(x.var, i) for x, i in zip(geometry.outer, outer, strict=True)]
            bound += [(x.var, i) for x, i in zip(geometry.channels, inner, strict=True)]
            source = [substitute(i, bound) for i in data.indices]
            places = zip(geometry.dims, (first, second), (tile_h, tile_w), (a.var, b.var), strict=True)
            for dim, phase, tile, inside in places:
                source[dim.position] = tile * geometry.edge + inside + phase_table(phase, dim.offsets)
            return te.sum(read(source), axis=[a, b])

        shape = [size**2, *geometry.phases, prod(geometry.row_extents)]
        shape += [x.extent for x in geometry.channels]
        names = ["uv", *self.phase_names, "p", *(x.name for x in geometry.channels)]
        tensor = emitter.compute(shape, gather, f"{name}_tiles", names)
        matrix, rows = self.matrices.data, names.index("p")
        transform = Transform(
            str(tensor.op.name), matrix, (0,), rows, geometry.row_extents, geometry.row_names
        )
        self.transforms.append(transform)
        return tensor

    def _kernel(self, emitter: Emitter) -> Any:
        geometry, (buffer, indices) = self.geometry, self.geometry.weight
        own = (*geometry.channels, geometry.column)
        taps = geometry.dims[0].taps
        a, b = te.reduce_axis((0, taps), name="a"), te.reduce_axis((0, taps), name="b")

        def gather(_: Any, first: Any, second: Any, *index: Any) -> Any:
            bound = [(x.var, i) for x, i in zip(own, index, strict=True)]
            for dim, phase, tap in zip(geometry.dims, (first, second), (a.var, b.var), strict=True):
                bound += dim.bound(phase, tap)
            return te.sum(emitter.read(buffer, [substitute(i, bound) for i in indices]), axis=[a, b])

        shape = [geometry.size**2, *geometry.phases, *(x.extent for x in own)]
        names = ["uv", *self.phase_names, *(x.name for x in own)]
        tensor = emitter.compute(shape, gather, f"{self.contraction.stage.name}_kernel", names)
        self.transforms.append(Transform(str(tensor.op.name), self.matrices.weight, (0,)))
        return tensor
