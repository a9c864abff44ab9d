"""A product of matrices on tensor cores (wmma), as a sketch step.

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
from search_space.gpu.tensor.tiling import TensorTiling
from search_space.gpu.tiling import PADDING_BYTES
from search_space.nest import Bools, LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tensorize.wmma import EDGE, ensure_fragment
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class TensorStep(PlainStep):
    """Schedule a product and what belongs to it."""

    form: TensorForm
    tiling: TensorTiling

    def slots(self) -> tuple[Slot, ...]:
        """Own the decisions of the tiling."""
        return self.tiling.slots()

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of a launch."""
        return self.tiling.valid(columns)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the kernel."""
        return self.tiling.nests(columns)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Bring the block into its normal form, tile it, put fragments in its place."""
        form, tiling = self.form, self.tiling
        names = form.prepare(sch)
        block = sch.get_sblock(form.block)
        batch = len(form.outer)
        loops = list(sch.get_loops(block))
        parts: list[list[Any]] = []
        inner: list[Any] = []
        for loop, what in zip(loops[batch:], ("rows", "columns", "terms"), strict=True):
            fragments, edge = sch.split(loop, [None, EDGE])
            factors = [int(f) for f in columns.tile(tiling.slot_name(what))[0]]
            parts.append(list(sch.split(fragments, factors, preserve_unit_iters=True)))
            inner.append(edge)
        (m0, m1, m2), (n0, n1, n2), (k0, k1) = parts
        sch.reorder(*loops[:batch], m0, n0, m1, n1, k0, k1, m2, n2, *inner)
        grid = sch.fuse(*loops[:batch], m0, n0)
        warp = sch.fuse(m1, n1)
        sch.bind(grid, "blockIdx.x")
        sch.bind(warp, "threadIdx.y")
        rv = {role: sch.get_sblock(name) for role, name in names.items()}
        sch.reverse_compute_at(rv["sums"], warp, preserve_unit_loops=True)
        sch.reverse_compute_at(rv["out"], grid, preserve_unit_loops=True)
        warps = int(tiling.warps(columns)[0])
        for position, role in enumerate("ab"):
            sch.compute_at(rv[f"{role}.fragment"], k1, preserve_unit_loops=True)
            sch.compute_at(rv[role], k0, preserve_unit_loops=True)
            self._share(sch, rv[role], warps, int(tiling.width(position, columns)[0]))
            if int(columns.choice(tiling.slot_name("pad"))[0]):
                padding = PADDING_BYTES // tiling.factors[position].element_bytes
                sch.storage_align(rv[role], 0, axis=-2, factor=2 * padding, offset=padding)
        self._share(sch, rv["out"], warps, tiling.out_width)
        self._pipeline(sch, k0, int(columns.choice(tiling.slot_name("pipeline"))[0]))
        start = sch.decompose_reduction(block, k0)
        self._replace(sch, inner[0], form.types.product(form.is_transposed))
        self._replace(sch, list(sch.get_loops(start))[-2], form.types.fill)
        for role, intrinsic in (
            ("a.fragment", form.types.load("a", False)),
            ("b.fragment", form.types.load("b", form.is_transposed)),
            ("sums", form.types.store),
        ):
            high, wide = list(sch.get_loops(rv[role]))[-2:]
            high, high_edge = sch.split(high, [None, EDGE])
            wide, wide_edge = sch.split(wide, [None, EDGE])
            sch.reorder(high, wide, high_edge, wide_edge)
            self._replace(sch, high_edge, intrinsic)

    @staticmethod
    def _replace(sch: Schedule, loop: Any, intrinsic: str) -> None:
        """Put an intrinsic in the place of a loop nest."""
        ensure_fragment(intrinsic)
        sch.tensorize(loop, intrinsic)

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
