"""A product of matrices on tensor cores (wmma or mma), as a sketch step.

before::

    for m, n, k: S[m, n] += A[m, k] * B[k, n]

after::

    bind blockIdx.x m0*n0: bind threadIdx.y m1*n1:
      for k0 (software pipeline):
        A.shared, B.shared = ...                               # fetched by all warps of the block
        for k1: a, b = fragments of A.shared, B.shared
          for m2, n2: sums[m2, n2] = mma(a[m2], b[n2], sums[m2, n2])
      S.shared = sums
    for tile: C = epilogue(S.shared)                           # by all warps of the block
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_space.decisions import Columns, Slot
from search_space.gpu.tensor.form import TensorForm
from search_space.gpu.tensor.nests import tensor_nests
from search_space.gpu.tensor.tiling import PADDED, SWIZZLED, TensorTiling
from search_space.gpu.tiling import PADDING_BYTES
from search_space.nest import Bools, LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tensorize import ensure_on_chip
from search_space.tensorize.wmma import EDGE
from search_space.tvm_api import Schedule, tirx


@dataclass(frozen=True, slots=True)
class _Levels:
    """Loops of a tiled product: blocks, warps, stages, fragments along the terms, one fragment product."""

    grid: Any
    warp: Any
    stages: Any
    terms: Any
    product: Any


@dataclass(frozen=True, slots=True, eq=False)
class TensorStep(PlainStep):
    """Schedule a product and what belongs to it."""

    form: TensorForm
    tiling: TensorTiling

    @property
    def tolerance_scale(self) -> float:
        """What the fragments' types lose."""
        return self.form.types.tolerance_scale

    def slots(self) -> tuple[Slot, ...]:
        """Own the decisions of the tiling."""
        return self.tiling.slots()

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of a launch."""
        return self.tiling.valid(columns)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the kernel."""
        return tensor_nests(self.tiling, columns)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Bring the block into its normal form, tile it, put fragments in its place."""
        form = self.form
        names = form.prepare(sch)
        block = sch.get_sblock(form.block)
        rv = {role: sch.get_sblock(name) for role, name in names.items()}
        levels = self._tile(sch, block, columns)
        self._attach(sch, rv, levels, columns)
        self._pipeline(sch, levels.stages, int(columns.choice(self.tiling.slot_name("pipeline"))[0]))
        start = sch.decompose_reduction(block, levels.stages)
        tiles = self._fragment_tiles(sch, rv, _index_type(sch, block))
        tiles.append((levels.product, form.types.product(form.is_transposed)))
        tiles.append((list(sch.get_loops(start))[-2], form.types.fill))
        permuted = int(columns.choice(self.tiling.slot_name("pad"))[0]) == SWIZZLED
        loads = (form.types.load("a", False), form.types.load("b", form.is_transposed))
        for loop, intrinsic in tiles:
            self._replace(sch, loop, intrinsic, permuted and intrinsic in loads)
        if permuted:
            for role in "ab":
                sch.annotate(rv[role], "permuted_layout", 1)

    def _tile(self, sch: Schedule, block: Any, columns: Columns) -> _Levels:
        """Split the product into blocks, warps, stages and fragments, and bind blocks and warps."""
        batch = len(self.form.outer)
        loops = list(sch.get_loops(block))
        parts: list[list[Any]] = []
        inner: list[Any] = []
        edges = (("rows", EDGE), ("columns", EDGE), ("terms", self.form.types.terms))
        for loop, (what, extent) in zip(loops[batch:], edges, strict=True):
            fragments, edge = sch.split(loop, [None, extent])
            factors = [int(f) for f in columns.tile(self.tiling.slot_name(what))[0]]
            parts.append(list(sch.split(fragments, factors, preserve_unit_iters=True)))
            inner.append(edge)
        (m0, m1, m2), (n0, n1, n2), (k0, k1) = parts
        sch.reorder(*loops[:batch], m0, n0, m1, n1, k0, k1, m2, n2, *inner)
        grid = sch.fuse(*loops[:batch], m0, n0)
        warp = sch.fuse(m1, n1)
        sch.bind(grid, "blockIdx.x")
        sch.bind(warp, "threadIdx.y")
        return _Levels(grid, warp, k0, k1, inner[0])

    def _attach(self, sch: Schedule, rv: dict[str, Any], levels: _Levels, columns: Columns) -> None:
        """Attach the copies into and out of fragments and shared memory; all lanes share the latter."""
        tiling = self.tiling
        sch.reverse_compute_at(rv["sums"], levels.warp, preserve_unit_loops=True)
        sch.reverse_compute_at(rv["out"], levels.grid, preserve_unit_loops=True)
        warps = int(tiling.warps(columns)[0])
        is_padded = int(columns.choice(tiling.slot_name("pad"))[0]) == PADDED
        for position, role in enumerate("ab"):
            sch.compute_at(rv[f"{role}.fragment"], levels.terms, preserve_unit_loops=True)
            sch.compute_at(rv[role], levels.stages, preserve_unit_loops=True)
            self._share(sch, rv[role], warps, int(tiling.width(position, columns)[0]))
            if is_padded:
                padding = PADDING_BYTES // tiling.factors[position].element_bytes
                sch.storage_align(rv[role], 0, axis=-2, factor=2 * padding, offset=padding)
        self._share(sch, rv["out"], warps, tiling.out_width)

    def _fragment_tiles(self, sch: Schedule, rv: dict[str, Any], index_type: str) -> list[tuple[Any, str]]:
        """Part the copies of fragments into fragments; return what intrinsics take the place of."""
        form = self.form
        copies = (
            ("a.fragment", "a", "write", form.types.load("a", False)),
            ("b.fragment", "b", "write", form.types.load("b", form.is_transposed)),
            ("sums", "c", "read", form.types.store),
        )
        tiles: list[tuple[Any, str]] = []
        for name, role, access, intrinsic in copies:
            high, wide = list(sch.get_loops(rv[name]))[-2:]
            shape = form.types.shape(role, form.is_transposed)
            high, high_edge = sch.split(high, [None, shape[0]])
            wide, wide_edge = sch.split(wide, [None, shape[1]])
            sch.reorder(high, wide, high_edge, wide_edge)
            tiles.append((high_edge, intrinsic))
            layout = form.types.layout(role, form.is_transposed)
            if layout is not None:
                index = tirx.IndexMap.from_func(layout, ndim=len(form.outer) + 2, index_dtype=index_type)
                sch.transform_layout(rv[name], (access, 0), index)
        return tiles

    @staticmethod
    def _replace(sch: Schedule, loop: Any, intrinsic: str, permuted: bool) -> None:
        """Put an intrinsic in the place of a loop nest; its shared memory may be permuted."""
        ensure_on_chip(intrinsic)
        block = sch.blockize(loop)
        if permuted:
            sch.annotate(block, "permuted_layout", 1)
        sch.tensorize(block, intrinsic)

    def _share(self, sch: Schedule, copy: Any, warps: int, width: int) -> None:
        """Share a copy among all lanes of all warps of a block."""
        own = 2 + len(self.form.outer)
        fused = sch.fuse(*list(sch.get_loops(copy))[-own:])
        if width > 1:
            fused, lanes = sch.split(fused, [None, width])
            sch.vectorize(lanes)
        _, warp, lane = sch.split(fused, [None, warps, self.tiling.hardware.warp])
        sch.bind(warp, "threadIdx.y")
        sch.bind(lane, "threadIdx.x")

    @staticmethod
    def _pipeline(sch: Schedule, loop: Any, depth: int) -> None:
        if depth > 1:
            sch.annotate(loop, "software_pipeline_stage", [0, 0, depth - 1])
            sch.annotate(loop, "software_pipeline_order", [0, 1, 2])
            sch.annotate(loop, "software_pipeline_async_stages", [0])


def _index_type(sch: Schedule, block: Any) -> str:
    return str(sch.get(block).iter_vars[0].var.ty)
