"""A register tile whose innermost loops are one intrinsic (TensorIR, arXiv 2207.04296, section 4).

before (A unsigned, B signed bytes)::

    for i, j, k: C[i, j] += int32(A[i, k]) * int32(B[k, j])

after (16 lanes and groups of 4 for VNNI)::

    for jo, ko, ji, ki:  B.panel[jo, ko, ji, ki] = B[4*ko + ki, n*jo + ji]
    parallel ...:
      for k: unrolled k, i3, j3:
        dot(C.local[i, j:j+16], A[i, 4*k:4*k+4], B.panel[jo, k, j:j+16, 0:4])     # one instruction
      C[...] = C.local[...]

To everything that counts (register tiles, panels, features) this is a tile of a matrix product
with a quarter of the terms, whose elements are groups of four bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from search_space.access import Axis, BlockInfo, BufferUse
from search_space.decisions import Columns
from search_space.hardware import Hardware
from search_space.nest import Bools
from search_space.rules.tiling import TileStep
from search_space.steps import Memory, PlainStep
from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.mapping import Mapping, matches
from search_space.tensorize.pattern import pattern_of_block
from search_space.tensorize.registry import available
from search_space.tensorize.shape import group_iterator, vector_shape
from search_space.tiling import Tiling, make_tiling
from search_space.tvm_api import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class TensorTileStep(TileStep):
    """Tile for an intrinsic: besides results and a row of vectors, one register holds the shared group."""

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of register tiles with one register less."""
        tiling = self.tiling
        vectors = columns.tile(tiling.tile_name(tiling.vector))[:, 3]
        needed = tiling.register_tile(columns) + vectors + 1
        return TileStep.valid(self, columns) & (needed <= tiling.hardware.vector_registers)


@dataclass(frozen=True, slots=True, eq=False)
class TensorizeStep(PlainStep):
    """Annotate the inner loops, cut the initialisation off, replace lanes and group by the intrinsic."""

    tiling: Tiling
    intrinsic: Intrinsic

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Unroll R2 and S3, decompose, tensorise V."""
        levels = memory.loops[self.tiling.block.name]
        for loop in (*levels["R2"], *levels["S3"]):
            if int(sch.get(loop).extent) > 1:
                sch.unroll(loop)
        start = sch.decompose_reduction(sch.get_sblock(self.tiling.block.name), levels["R0"][0])
        sch.vectorize(sch.get_loops(start)[-1])
        sch.tensorize(levels["V"][0], self.intrinsic.name)


def tensor_tilings(
    block: BlockInfo,
    hardware: Hardware,
    is_fused: bool = False,
    weights: frozenset[str] = frozenset(),
) -> list[tuple[Tiling, Intrinsic]]:
    """Tile a block for every intrinsic of the machine that can compute it.

    The intrinsic's lanes run along the contiguous axis of the result, its group along a reduction axis
    that indexes one dimension of each operand and that it divides.

    Args:
        block: A block with one written buffer.
        hardware: Limits.
        is_fused: Whether a consumer reads the tile.
        weights: Names of the buffers that hold weights.

    Returns:
        Tilings with their intrinsics, in the order of registration; one at most of each.
    """
    dtypes = {use.dtype for use in block.reads}
    candidates = available(hardware.instruction_sets, dtypes) if block.body is not None else ()
    pattern = pattern_of_block(block.body) if candidates else None
    found: list[tuple[Tiling, Intrinsic]] = []
    if pattern is None:
        return []
    for intrinsic in candidates:
        for mapping in matches(intrinsic, pattern):
            tiling = _tiling(block, hardware, is_fused, weights, mapping)
            if tiling is not None:
                found.append((tiling, intrinsic))
                break
    return found


def _tiling(
    block: BlockInfo, hardware: Hardware, is_fused: bool, weights: frozenset[str], mapping: Mapping
) -> Tiling | None:
    shape = vector_shape(mapping.intrinsic)
    if shape is None:
        return None
    iterators = mapping.pattern.iterators
    lanes = mapping.intrinsic.pattern.iterators[shape.lanes].extent
    group = mapping.intrinsic.pattern.iterators[shape.group].extent
    shared, own = mapping.operand(shape.shared), mapping.operand(shape.own)
    if shared.buffer.same_as(own.buffer):
        return None
    along = group_iterator(mapping)
    if along is None or along.extent % group:
        return None
    position = next(i for i, iterator in enumerate(iterators) if iterator is along)
    grouped = _grouped(block, position, group)
    tiling = make_tiling(grouped, hardware, is_fused, weights)
    if tiling.vector < 0:
        return None
    contiguous = iterators[tiling.axes[tiling.vector].iterator]
    if (
        not any(contiguous is i for i in mapping.groups[shape.lanes])
        or tiling.axes[tiling.vector].extent % lanes
    ):
        return None
    uses = {use.name: use.position for use in block.reads}
    must_pack = [uses[str(own.buffer.name)]]
    if group > 1 and shared.dimension(along.var) != len(shared.indices) - 1:
        must_pack.append(uses[str(shared.buffer.name)])
    # Panels by iterators leave out those of extent one, which one group of several terms is not.
    packable = tuple(
        use.position
        for use in grouped.reads
        if use.position in tiling.packable
        and (grouped.axes[position].extent > 1 or tiling.panel_use(use) is use)
    )
    if not set(must_pack) <= set(packable):
        return None
    return replace(tiling, lanes=(lanes,), must_pack=tuple(must_pack), group=group, group_iterator=position)


def _grouped(block: BlockInfo, position: int, group: int) -> BlockInfo:
    """Describe a block with groups of one reduction iterator as its elements."""
    axes = list(block.axes)
    axes[position] = Axis(axes[position].name, axes[position].extent // group, axes[position].kind)

    def grouped(use: BufferUse) -> BufferUse:
        if position not in use.single:
            return use
        d = use.single.index(position)
        extents = list(use.shape)
        extents[d] //= group
        return replace(use, shape=tuple(extents), element_bytes=use.element_bytes * group)

    # One intrinsic is one instruction for each vector, as a multiply-add is.
    return replace(block, axes=tuple(axes), reads=tuple(grouped(use) for use in block.reads), flops=2.0)
