"""Multi-level tiling of one block on a GPU, SSSRRSRS, as tables and as numbers (no TVM here).

Levels, outer to inner::

    S0  blocks of the grid         (blockIdx.x, spatial axes fused)
    S1  virtual threads            (vthread.x: strided parts of a block's tile)
    S2  threads                    (threadIdx.x)
    R0  stages of shared memory    (reduction axes fused)
    R1  steps of one stage
    S3  register tile, outer part
    R2  inner steps
    S4  register tile, inner part
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns, Slot, choice, tile
from search_space.gpu.limits import BASE_REGISTERS, REGISTERS_PER_WORD, allocated_bytes, fits_launch
from search_space.gpu.stage_access import StageAccess
from search_space.hardware_gpu import GpuHardware
from search_space.nest import Bools, Floats, LoopKind
from search_space.tiling import TiledAxis

SPATIAL_PARTS = 5
REDUCTION_PARTS = 3
MAX_VTHREADS = 4
"""Virtual threads along one axis."""
MAX_AXIS_THREADS = 256
MAX_REGISTER_PART = 8
MAX_STAGE_STEPS = 64
MAX_UNROLLED_STATEMENTS = 4096
"""Innermost statements that are unrolled; more cost seconds to compile and miss the instruction cache."""
MAX_GUARDED_STATEMENTS = 512
"""The same where they read under a condition, which costs NVRTC far more: 1,536 of a convolution of ResNet-18
took it 23 s, 4,032 had not ended after three minutes of processor time."""
FETCH_WIDTHS = (0, 1, 2, 4, 8, 16)
"""Values of a fetch slot: operand read where it lies (0), or staged by loads of up to so many elements."""
PIPELINES = (1, 2, 3, 4)
PADDING_BYTES = 16
"""What a padded row of shared memory is longer by: it keeps 16-byte accesses aligned."""


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """One input of a tiled block that may be staged in shared memory.

    Attributes:
        use: How the block reads it.
        maker: The block that is computed on the fly while it is fetched (padding, patches), or None.
        access: How its index follows divided iterators; None where it cannot be staged.
    """

    use: BufferUse
    maker: BlockInfo | None
    access: StageAccess | None


@dataclass(frozen=True, slots=True, eq=False)
class GpuTiling:
    """How one block is tiled; the decisions are slots named after the block.

    Attributes:
        block: The block.
        axes: Axes in loop order (iterators, grouped ones split in two).
        operands: Inputs that may be staged.
        is_fused: Whether a consumer ends the tile.
        hardware: Limits.
    """

    block: BlockInfo
    axes: tuple[TiledAxis, ...]
    operands: tuple[Operand, ...]
    is_fused: bool
    hardware: GpuHardware

    @property
    def spatial(self) -> tuple[int, ...]:
        """Positions of the spatial axes."""
        return tuple(i for i, a in enumerate(self.axes) if a.kind == LoopKind.SPATIAL)

    @property
    def reduction(self) -> tuple[int, ...]:
        """Positions of the reduction axes."""
        return tuple(i for i, a in enumerate(self.axes) if a.kind == LoopKind.REDUCTION)

    def tile_name(self, axis: int) -> str:
        """Name of an axis' tile slot."""
        return f"{self.block.name}.tile.{self.axes[axis].name}"

    def fetch_name(self, operand: Operand) -> str:
        """Name of an operand's fetch slot."""
        return f"{self.block.name}.fetch.{operand.use.name}"

    def pad_name(self, operand: Operand) -> str:
        """Name of the slot that says whether rows of an operand's stage are padded."""
        return f"{self.block.name}.pad.{operand.use.name}"

    @property
    def pipeline_name(self) -> str:
        """Name of the slot with the number of stages in flight."""
        return f"{self.block.name}.pipeline"

    @property
    def unroll_name(self) -> str:
        """Name of the slot that says whether the steps of a stage are unrolled too."""
        return f"{self.block.name}.unroll"

    def slots(self) -> tuple[Slot, ...]:
        """The decisions of this tiling."""
        found: list[Slot] = []
        for i, axis in enumerate(self.axes):
            limits: tuple[int | None, ...]
            if axis.kind == LoopKind.SPATIAL:
                limits = (None, MAX_VTHREADS, MAX_AXIS_THREADS, MAX_REGISTER_PART, MAX_REGISTER_PART)
                found.append(tile(self.tile_name(i), axis.extent, SPATIAL_PARTS, limits))
            else:
                limits = (None, MAX_STAGE_STEPS, MAX_REGISTER_PART)
                found.append(tile(self.tile_name(i), axis.extent, REDUCTION_PARTS, limits))
        for operand in self.operands:
            widest = self.hardware.fetch_bytes // operand.use.element_bytes
            widths = tuple(w for w in FETCH_WIDTHS if w <= widest)
            found.append(choice(self.fetch_name(operand), widths if operand.access is not None else (0,)))
            found.append(choice(self.pad_name(operand), (0, 1) if operand.access is not None else (0,)))
        is_pipelined = self.hardware.has_async_copy and any(o.access is not None for o in self.operands)
        found.append(choice(self.pipeline_name, PIPELINES if is_pipelined else (1,)))
        found.append(choice(self.unroll_name, (0, 1)))
        return tuple(found)

    def parts(self, columns: Columns) -> dict[int, Floats]:
        """Return each axis' factors as [N, parts]."""
        return {i: columns.tile(self.tile_name(i)).astype(np.float64) for i in range(len(self.axes))}

    def level(self, columns: Columns, part: int) -> Floats:
        """Return the product of one level of the spatial axes: [N]."""
        parts = self.parts(columns)
        return np.asarray(np.prod(np.stack([parts[i][:, part] for i in self.spatial], axis=1), axis=1))

    def threads(self, columns: Columns) -> Floats:
        """Return the threads of a block: [N]."""
        return self.level(columns, 2)

    def stages(self, columns: Columns) -> Floats:
        """Return the trip count of R0: [N]."""
        parts = self.parts(columns)
        return np.asarray(
            np.prod(np.stack([np.ones(columns.size), *(parts[i][:, 0] for i in self.reduction)]), axis=0)
        )

    def is_staged(self, operand: Operand, columns: Columns) -> Bools:
        """Mask of the candidates that stage an operand: [N].

        Where the index divides an iterator (patches of a fused sum), a stage must lie between two carries or
        consist of whole runs between them: no other is a box. Of digits between two carries TVM keeps no
        bounds, so with several carries a stage is one step or whole runs between the longest ones.
        """
        chosen = columns.choice(self.fetch_name(operand)) > 0
        for iterator, carries in operand.access.carries.items() if operand.access is not None else ():
            inner = self._stage_steps(iterator, columns)
            between = carries[0] % inner == 0 if len(carries) == 1 else inner == 1
            chosen &= between | (inner % carries[-1] == 0)
        return np.asarray(chosen)

    def _stage_steps(self, iterator: int, columns: Columns) -> NDArray[np.int64]:
        """Return the steps of an iterator within one stage: [N]."""
        own = [i for i, axis in enumerate(self.axes) if axis.iterator == iterator]
        parts = [np.prod(columns.tile(self.tile_name(i))[:, 1:], axis=1) for i in own]
        return np.asarray(np.prod(np.stack(parts), axis=0), dtype=np.int64)

    def stages_anything(self, columns: Columns) -> Bools:
        """Mask of the candidates that stage some operand: [N]."""
        found = np.zeros(columns.size, dtype=bool)
        for operand in self.operands:
            found |= self.is_staged(operand, columns)
        return found

    def coefficients(self, use: BufferUse) -> Floats:
        """Return [D, A]: the change of each index of a buffer per step of each axis."""
        found = np.zeros((len(use.shape), len(self.axes)))
        for i, axis in enumerate(self.axes):
            source = use.group_coefficients if axis.outer_group else use.coefficients
            found[:, i] = source[:, axis.iterator]
        return found

    def region(self, use: BufferUse, inner: dict[int, Floats], size: int) -> Floats:
        """Return [N, D]: the box of a buffer that the inner parts of the axes cover."""
        per_axis = self.coefficients(use)
        found = np.ones((size, len(use.shape)))
        for i in range(len(self.axes)):
            found += np.abs(per_axis[:, i])[None, :] * (inner[i] - 1.0)[:, None]
        return np.minimum(np.ceil(found - 1e-6), np.array(use.shape, dtype=np.float64)[None, :])

    def stage_region(self, operand: Operand, columns: Columns) -> Floats:
        """Return [N, D]: the part of an operand that one stage holds."""
        parts = self.parts(columns)
        inner = {i: np.prod(parts[i][:, 1:], axis=1) for i in range(len(self.axes))}
        if operand.access is None or not operand.access.carries:
            return self.region(operand.use, inner, columns.size)
        found = np.ones((columns.size, len(operand.use.shape)))
        per_axis = np.abs(self.coefficients(operand.use))
        for i, axis in enumerate(self.axes):
            if axis.iterator not in operand.access.carries:
                found += per_axis[:, i][None, :] * (inner[i] - 1.0)[:, None]
        for (d, iterator), reach in operand.access.reach.items():
            found[:, d] += reach[self._stage_steps(iterator, columns) - 1]
        return np.minimum(found, np.array(operand.use.shape, dtype=np.float64)[None, :])

    def fetch_width(self, operand: Operand, columns: Columns) -> NDArray[np.int64]:
        """Return the elements of one load of the fetch: the largest allowed up to the decision, [N].

        A load must not leave its row of the stage and must start at a multiple of its width in both
        memories.
        """
        use = operand.use
        wanted = columns.choice(self.fetch_name(operand))
        width = np.ones(columns.size, dtype=np.int64)
        if not use.shape or use.single[-1] < 0:
            return width
        row = self.stage_region(operand, columns)[:, -1]
        reads = operand.maker.reads if operand.maker is not None else ()
        limit = min([read.vector for read in reads], default=FETCH_WIDTHS[-1])
        widest = self.hardware.fetch_bytes // max([use.element_bytes, *(r.element_bytes for r in reads)])
        for candidate in (2, 4, 8, 16):
            if candidate > min(limit, widest) or use.shape[-1] % candidate:
                break
            width = np.where((wanted >= candidate) & (row % candidate == 0), candidate, width)
        return width

    def pitch(self, operand: Operand, columns: Columns) -> Floats:
        """Return the elements from one row of a stage to the next: [N]."""
        row = self.stage_region(operand, columns)[:, -1] if operand.use.shape else np.ones(columns.size)
        padding = PADDING_BYTES / operand.use.element_bytes
        # Rows become an odd multiple of the padding, so that equal columns fall into other banks.
        period = 2.0 * padding
        padded = row + (padding - row) % period
        is_padded = (columns.choice(self.pad_name(operand)) > 0) & (len(operand.use.shape) > 1)
        return np.asarray(np.where(is_padded, padded, row))

    def shared_bytes(self, columns: Columns) -> Floats:
        """Return the shared memory of a block, all stages in flight: [N]."""
        depth = columns.choice(self.pipeline_name)
        sizes: list[Floats] = []
        for operand in self.operands:
            rows = np.prod(self.stage_region(operand, columns)[:, :-1], axis=1)
            held = rows * self.pitch(operand, columns) * operand.use.element_bytes * depth
            sizes.append(np.where(self.is_staged(operand, columns), held, 0.0))
        return allocated_bytes(self.hardware, sizes, columns.size)

    def accumulators(self, columns: Columns) -> Floats:
        """Return the results that one thread holds: [N]."""
        return self.level(columns, 1) * self.level(columns, 3) * self.level(columns, 4)

    def registers(self, columns: Columns) -> Floats:
        """Estimate the 32-bit registers of a thread: results, one step's operands, addresses: [N]."""
        parts = self.parts(columns)
        inner = {
            i: np.prod(parts[i][:, 3:], axis=1) * parts[i][:, 1]
            if self.axes[i].kind == LoopKind.SPATIAL
            else np.ones(columns.size)
            for i in range(len(self.axes))
        }
        words = np.maximum(1.0, self.accumulators(columns) * self.block.writes[0].element_bytes / 4.0)
        for use in self.block.reads:
            words = words + np.prod(self.region(use, inner, columns.size), axis=1) * use.element_bytes / 4.0
        return np.asarray(BASE_REGISTERS + REGISTERS_PER_WORD * words)

    def unrolled_statements(self, columns: Columns) -> Floats:
        """Return the multiply-adds of the straight-line code of the inner loops: [N]."""
        parts = self.parts(columns)
        total = self.accumulators(columns)
        for i in self.reduction:
            steps = np.where(columns.choice(self.unroll_name) > 0, parts[i][:, 1], 1.0)
            total = total * parts[i][:, 2] * steps
        return total

    def valid(self, columns: Columns) -> Bools:
        """Mask of the candidates that build and launch: [N]."""
        threads = self.threads(columns)
        shared = self.shared_bytes(columns)
        found = fits_launch(self.hardware, threads, shared, self.registers(columns))
        if self.can_fill_warps:
            found &= threads % self.hardware.warp == 0
        else:
            found &= threads >= min(self.hardware.warp, self.block.spatial_size / 2)
        pipeline = columns.choice(self.pipeline_name)
        found &= (pipeline == 1) | (self.stages_anything(columns) & (self.stages(columns) >= pipeline))
        most = np.where(self._reads_guarded(columns), MAX_GUARDED_STATEMENTS, MAX_UNROLLED_STATEMENTS)
        return found & (self.unrolled_statements(columns) <= most) & self._is_box(columns)

    def _reads_guarded(self, columns: Columns) -> Bools:
        """Mask of the candidates whose inner loops read under a condition (inlined padding): [N]."""
        found = np.full(columns.size, self.block.conditional)
        for operand in self.operands:
            if operand.maker is not None and operand.maker.conditional:
                found |= ~self.is_staged(operand, columns)
        return found

    @property
    def can_fill_warps(self) -> bool:
        """Whether some tile has whole warps of threads."""
        return prod(self.axes[i].extent for i in self.spatial) % self.hardware.warp == 0

    def _is_box(self, columns: Columns) -> Bools:
        """Mask of the thread tiles that cover a box of the output: [N].

        Where several axes walk one dimension, a tile with part of the finer one and several steps of
        the coarser one has holes, and its write-back would copy other threads' elements.
        """
        found = np.ones(columns.size, dtype=bool)
        use = self.block.writes[0]
        if not (self.is_fused or use.is_plain):
            return self._whole_groups(columns)
        parts = self.parts(columns)
        for row in self.coefficients(use):
            walking = sorted((i for i in self.spatial if row[i] != 0), key=lambda i: abs(row[i]))
            for fine, coarse in itertools.pairwise(walking):
                tiles = [np.prod(parts[i][:, 3:], axis=1) for i in (fine, coarse)]
                found &= (tiles[0] == self.axes[fine].extent) | (tiles[1] == 1)
        return found

    def _whole_groups(self, columns: Columns) -> Bools:
        """The same for write-backs that are indexed by the block's iterators: halves of one iterator."""
        found = np.ones(columns.size, dtype=bool)
        parts = self.parts(columns)
        for i in self.spatial:
            if self.axes[i].outer_group:
                fine = next(
                    j
                    for j in self.spatial
                    if self.axes[j].iterator == self.axes[i].iterator and not self.axes[j].outer_group
                )
                tiles = [np.prod(parts[j][:, 3:], axis=1) for j in (fine, i)]
                found &= (tiles[0] == self.axes[fine].extent) | (tiles[1] == 1)
        return found


def gpu_axes(block: BlockInfo) -> tuple[TiledAxis, ...]:
    """Return the axes of a block; an iterator whose index is divided (groups) becomes two."""
    axes: list[TiledAxis] = []
    for i, axis in enumerate(block.axes):
        if axis.group > 1 and axis.extent % axis.group == 0 and axis.kind == LoopKind.SPATIAL:
            axes.append(TiledAxis(f"{axis.name}.group", i, axis.extent // axis.group, axis.kind, True))
            axes.append(TiledAxis(axis.name, i, axis.group, axis.kind))
        else:
            axes.append(TiledAxis(axis.name, i, axis.extent, axis.kind))
    return tuple(axes)
