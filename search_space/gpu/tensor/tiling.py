"""Tiles of fragments: decisions and limits of a product on tensor cores (no TVM here).

Levels, outer to inner::

    blockIdx.x   batch, tiles of rows and columns
    threadIdx.y  warps of a block (threadIdx.x are the 32 lanes of a warp)
    k0           stages of shared memory
    k1           fragments of one stage
    m2, n2       fragments of one warp, kept in registers
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_space.decisions import Columns, Slot, choice, tile
from search_space.gpu.limits import BASE_REGISTERS, fits_launch
from search_space.gpu.tiling import PADDING_BYTES, PIPELINES
from search_space.hardware_gpu import GpuHardware
from search_space.nest import Bools, Floats
from search_space.tensorize.wmma import EDGE

MAX_WARPS = 4
"""Warps along rows, and along columns."""
MAX_FRAGMENTS = 8
MAX_STAGE_FRAGMENTS = 4
LANES = 32
STRAIGHT, PADDED, SWIZZLED = 0, 1, 2
"""How rows of a stage lie: one after the other, 16 bytes apart, or their 16-byte pieces permuted."""
SWIZZLE_ELEMENTS = 32
"""Rows are permuted in units of so many 16-bit elements (TVM's pass over permuted layouts)."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of the product in its normal form.

    Attributes:
        name: Buffer that is fetched.
        element_bytes: Bytes of one element.
        width: Most elements of one load of the fetch.
        flops: Operations for each element while it is fetched.
    """

    name: str
    element_bytes: int
    width: int
    flops: float


@dataclass(frozen=True, slots=True, eq=False)
class TensorTiling:
    """How a product of matrices is tiled; sizes are padded to whole fragments.

    Attributes:
        name: The block, which slots are named after.
        batch: Independent products.
        rows: Rows of the result.
        columns: Columns of the result.
        terms: Length of the sums.
        factors: The two factors.
        is_transposed: Whether the second factor is stored with its terms together.
        term_edge: Terms of one fragment.
        swizzles: Whether rows of a stage may be permuted instead of padded.
        result_bytes: Bytes of one sum.
        out_width: Most elements of one store of the write-back.
        out_flops: Operations for each element while it is written.
        hardware: Limits.
    """

    name: str
    batch: int
    rows: int
    columns: int
    terms: int
    factors: tuple[Factor, Factor]
    is_transposed: bool
    term_edge: int
    swizzles: bool
    result_bytes: int
    out_width: int
    out_flops: float
    hardware: GpuHardware

    def slot_name(self, what: str) -> str:
        """Name of a decision."""
        return f"{self.name}.tensor.{what}"

    def slots(self) -> tuple[Slot, ...]:
        """The decisions: tiles in fragments, padded rows of the stages, stages in flight."""
        limits = (None, MAX_WARPS, MAX_FRAGMENTS)
        return (
            tile(self.slot_name("rows"), self.rows // EDGE, 3, limits),
            tile(self.slot_name("columns"), self.columns // EDGE, 3, limits),
            tile(self.slot_name("terms"), self.terms // self.term_edge, 2, (None, MAX_STAGE_FRAGMENTS)),
            choice(self.slot_name("pad"), (STRAIGHT, PADDED, SWIZZLED)[: 3 if self.swizzles else 2]),
            choice(self.slot_name("pipeline"), PIPELINES if self.hardware.has_async_copy else (1,)),
        )

    def tile(self, columns: Columns, what: str) -> Floats:
        """Return the factors of a tile slot: [N, parts]."""
        return columns.tile(self.slot_name(what)).astype(np.float64)

    def warps(self, columns: Columns) -> Floats:
        """Return the warps of a block: [N]."""
        return self.tile(columns, "rows")[:, 1] * self.tile(columns, "columns")[:, 1]

    def regions(self, columns: Columns) -> tuple[Floats, Floats]:
        """Return [N, 2] for each factor: rows and elements of a row of one stage."""
        rows, cols = self.tile(columns, "rows"), self.tile(columns, "columns")
        terms = self.tile(columns, "terms")[:, 1] * self.term_edge
        high, wide = rows[:, 1] * rows[:, 2] * EDGE, cols[:, 1] * cols[:, 2] * EDGE
        first = np.stack([high, terms], axis=1)
        second = np.stack([wide, terms] if self.is_transposed else [terms, wide], axis=1)
        return first, second

    def pitch(self, factor: int, columns: Columns) -> Floats:
        """Return the elements from one row of a stage to the next: [N]."""
        rows = columns.choice(self.slot_name("pad"))
        return np.where(rows == PADDED, self._padded(factor, columns), self.regions(columns)[factor][:, 1])

    def _padded(self, factor: int, columns: Columns) -> Floats:
        """Return the length of a padded row, an odd multiple of 16 bytes: [N]."""
        row = self.regions(columns)[factor][:, 1]
        padding = PADDING_BYTES / self.factors[factor].element_bytes
        return np.asarray(row + (padding - row) % (2.0 * padding))

    def bank_pitch(self, factor: int, columns: Columns) -> Floats:
        """Return the pitch of padded rows that has the bank conflicts of the chosen ones: [N].

        Permuted rows have none, like padded ones.
        """
        rows = columns.choice(self.slot_name("pad"))
        return np.where(rows == STRAIGHT, self.pitch(factor, columns), self._padded(factor, columns))

    def shared_bytes(self, columns: Columns) -> Floats:
        """Return the shared memory of a block, [N]: all stages in flight, later the tile of the result."""
        total = np.zeros(columns.size)
        for position, region in enumerate(self.regions(columns)):
            total += region[:, 0] * self.pitch(position, columns) * self.factors[position].element_bytes
        first, second = self.regions(columns)
        wide = second[:, 0] if self.is_transposed else second[:, 1]
        result = first[:, 0] * wide * self.result_bytes
        return np.maximum(total * columns.choice(self.slot_name("pipeline")), result)

    def registers(self, columns: Columns) -> Floats:
        """Estimate the registers of a thread: sums and one fragment of each factor a row or column, [N]."""
        rows, cols = self.tile(columns, "rows")[:, 2], self.tile(columns, "columns")[:, 2]
        sums = rows * cols * EDGE * EDGE / LANES * self.result_bytes / 4.0
        first, second = (factor.element_bytes for factor in self.factors)
        held = EDGE * self.term_edge / LANES * (rows * first + cols * second) / 2.0
        return BASE_REGISTERS + sums + held

    def width(self, factor: int, columns: Columns) -> Floats:
        """Return the elements of one load of a fetch: [N]."""
        row = self.regions(columns)[factor][:, 1]
        found = np.ones(columns.size)
        for candidate in (2, 4, 8, 16):
            if candidate <= self.factors[factor].width:
                found = np.where(row % candidate == 0, float(candidate), found)
        return found

    def valid(self, columns: Columns) -> Bools:
        """Mask of the candidates that build and launch: [N]."""
        threads = self.warps(columns) * self.hardware.warp
        fits = fits_launch(self.hardware, threads, self.shared_bytes(columns), self.registers(columns))
        pipeline = columns.choice(self.slot_name("pipeline"))
        fits = fits & ((pipeline == 1) | (self.tile(columns, "terms")[:, 0] >= pipeline))
        whole = np.all([region[:, 1] % SWIZZLE_ELEMENTS == 0 for region in self.regions(columns)], axis=0)
        return np.asarray(fits & ((columns.choice(self.slot_name("pad")) != SWIZZLED) | whole))
