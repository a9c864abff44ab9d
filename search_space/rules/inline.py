"""Inlining of blocks that only move or transform elements (Ansor rule 2).

before::

    for i, j: T[j, i] = A[i, j]
    for i, j, k: C[i, j] += T[k, i] * B[k, j]

after::

    for i, j, k: C[i, j] += A[i, k] * B[k, j]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_space.access import BlockInfo
from search_space.decisions import Columns
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule, tirx, tvm, walk_types


@dataclass(frozen=True, slots=True)
class InlineStep(PlainStep):
    """Substitute a block into its consumers."""

    block: str

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Inline forward."""
        sch.compute_inline(sch.get_sblock(self.block))


def is_injective(block: BlockInfo) -> bool:
    """Report whether a block writes each element of one buffer once, from its own iterators."""
    return not block.is_reduction and not block.reduction and block.stores == 1


def must_inline(block: BlockInfo, blocks: dict[str, BlockInfo]) -> bool:
    """Report whether computing a block on the fly always pays: cheap, no condition, not an output."""
    if not is_injective(block) or block.is_output or not block.consumers or block.is_kept:
        return False
    if block.conditional:
        return False
    if block.transcendentals or block.flops > 2:
        # Recomputed once per consumer's use: only where every consumer uses each element once.
        return all(not blocks[c].is_reduction for c in block.consumers) and len(block.consumers) == 1
    return True


def may_inline(block: BlockInfo, blocks: dict[str, BlockInfo]) -> bool:
    """Report whether inlining is an alternative worth a sketch of its own (padding, cheap maths).

    It is not where a consumer's vectors would run across the block's condition: TVM computes such
    vectors lane by lane (a padded weight of 12 channels made a convolution eleven times slower).
    """
    if not is_injective(block) or block.is_output or not block.consumers or block.is_kept:
        return False
    if block.conditional and any(_cuts_vectors(block, blocks[c]) for c in block.consumers):
        return False
    return not must_inline(block, blocks)


def _cuts_vectors(block: BlockInfo, consumer: BlockInfo) -> bool:
    """Report whether a block's condition changes along the vectors in which a reduction reads it."""
    use = next((u for u in consumer.reads if u.name == block.writes[0].name), None)
    if use is None or not consumer.is_reduction:
        return False
    lanes = [i for i in consumer.spatial if consumer.writes[0].last_coefficient(i) == 1]
    guarded = _guarded_axes(block)
    return any(
        use.coefficients[d, i] != 0 and axis >= 0 and block.axes[axis].name in guarded
        for i in lanes
        for d, axis in enumerate(block.writes[0].single)
    )


def _guarded_axes(block: BlockInfo) -> set[str]:
    """Return the names of the iterators that a block's conditions depend on."""
    found: set[str] = set()

    def variable(node: Any) -> None:
        found.add(str(node.name).removeprefix("v_"))

    def call(node: Any) -> None:
        if str(getattr(node.op, "name", "")).endswith("if_then_else"):
            walk_types(node.args[0], [(tvm.ir.Var, variable)])

    def select(node: Any) -> None:
        walk_types(node.condition, [(tvm.ir.Var, variable)])

    walk_types(block.body, [(tvm.ir.Call, call), (tirx.Select, select)])
    return found


def covers(producer: BlockInfo, consumer: BlockInfo) -> bool:
    """Report whether a consumer walks its producer's output element by element."""
    produced = producer.writes[0]
    read = next((u for u in consumer.reads if u.name == produced.name), None)
    if read is None or not read.affine:
        return False
    used = [s for s, e in zip(read.single, read.shape, strict=True) if e > 1]
    extents = [e for e in read.shape if e > 1]
    walked = [consumer.axes[s].extent for s in used if s >= 0]
    # Every consumer iterator must come from the tile, or be of extent one.
    others = [a.extent for i, a in enumerate(consumer.axes) if i not in used and a.extent > 1]
    return -1 not in used and walked == extents and not others and len(set(used)) == len(used)
