"""The untuned program made fast enough to give reference outputs in reasonable time.

An untuned conv3d is a scalar loop nest that takes ten seconds a run, and reference outputs are needed for
several input sets. Moving the last data-parallel loop innermost, vectorising it, and running the outer ones
in parallel keeps for every output element the very same operations in the very same order. The schedule
primitives prove that; besides, the outputs are compared with the untuned program's when that ends in time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from search_space.decisions import divisors
from search_space.tvm_api import Schedule, tirx
from tuner.measure.check import LONG_SUM

_WIDTH = 64

_MOST_PARTIALS = 1 << 22
"""Elements of partial sums that a reference may hold."""


def reordered(module: Any) -> Any:
    """Return the untuned module with each block's innermost data-parallel loop innermost and vectorised.

    Blocks for which a step is refused stay as they are.

    Args:
        module: An IRModule whose ``main`` is unscheduled.
    """
    return _block_by_block(module, _speed_up)


def with_partial_sums(module: Any) -> Any:
    """Return the untuned module with its longest sums taken in two steps, each of few terms.

    Other reductions, and sums that cannot be split, stay as they are.

    Args:
        module: An IRModule whose ``main`` is unscheduled.
    """
    return _block_by_block(module, _split_sum)


def _block_by_block(module: Any, change: Callable[[Any, Any], None]) -> Any:
    schedule = Schedule(module, debug_mask="none", error_render_level="none")
    for name in _block_names(schedule):
        attempt = schedule.copy()
        try:
            change(attempt, attempt.get_sblock(name, func_name="main"))
        except Exception:  # TVM's refusals have no common type; the block stays as it was
            continue
        schedule = attempt
    return schedule.mod


def _split_sum(schedule: Any, block: Any) -> None:
    loops = schedule.get_loops(block)
    reduction = [loop for loop in loops if _kind(schedule, block, loop) == "reduction"]
    extents = [int(schedule.get(loop).extent) for loop in reduction]
    outputs = [int(extent) for extent in schedule.get(block).writes[0].source.shape]
    terms = prod(extents)
    if terms <= LONG_SUM:
        return
    outer = reduction[0]
    if len(reduction) == 1:
        parts = max(d for d in divisors(terms) if d * d <= terms)
        outer, _ = schedule.split(outer, [parts, None])
    parts = int(schedule.get(outer).extent)
    if parts > 1 and parts * prod(outputs) <= _MOST_PARTIALS:
        schedule.rfactor(outer, 0)


def _block_names(schedule: Any) -> list[str]:
    root = schedule.get_sblock("root", func_name="main")
    return [str(schedule.get(block).name_hint) for block in schedule.get_child_blocks(root)]


def _speed_up(schedule: Any, block: Any) -> None:
    loops = schedule.get_loops(block)
    if not loops:
        return
    kinds = [_kind(schedule, block, loop) for loop in loops]
    if "other" in kinds:
        return
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == "spatial"]
    reduction = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == "reduction"]
    if not spatial:
        return
    inner = spatial.pop()
    extent = int(schedule.get(inner).extent)
    outer: list[Any] = []
    if extent > _WIDTH:
        chunk = max(width for width in range(1, _WIDTH + 1) if extent % width == 0)
        if chunk >= 8:
            middle, inner = schedule.split(inner, [None, chunk])
            outer = [middle]
    schedule.reorder(*spatial, *outer, *reduction, inner)
    if int(schedule.get(inner).extent) <= _WIDTH:
        schedule.vectorize(inner)
    if spatial or outer:
        schedule.parallel(schedule.fuse(*spatial, *outer))


def _kind(schedule: Any, block: Any, loop: Any) -> str:
    variable = schedule.get(loop).loop_var
    realize = _realize(schedule, block)
    for iterator, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
        if value.same_as(variable):
            if int(iterator.iter_type) == tirx.IterVar.DataPar:
                return "spatial"
            if int(iterator.iter_type) == tirx.IterVar.CommReduce:
                return "reduction"
    return "other"


def _realize(schedule: Any, block: Any) -> Any:
    node = schedule.get(schedule.get_loops(block)[-1]).body
    while not hasattr(node, "iter_values"):
        node = node.body
    return node
