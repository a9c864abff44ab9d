"""How much of a block with inlined padding multiplies zeros that the machine code leaves out.

The condition of a tap is known where it is a constant or does not change in the inner loops: all iterators
that it depends on are unrolled as a whole, or none of them moves inside. Elsewhere it is asked every time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns
from search_space.nest import Floats, LoopKind
from search_space.rewrites.affine import evaluate
from search_space.tiling import Tiling
from search_space.tvm_api import tirx, tvm, walk_types

_MOST_POINTS = 1 << 16


@lru_cache(maxsize=512)
def padded_taps(block: BlockInfo) -> tuple[tuple[frozenset[int], float], ...]:
    """Find groups of iterators that one border depends on, and the share of their steps outside of it.

    Args:
        block: A block whose body selects by conditions.

    Returns:
        Positions of the iterators, and the share, for every group; what is no border in them is left out.
    """
    conditions: list[Any] = []
    if block.body is not None and block.conditional:
        walk_types(block.body.body, [(tvm.ir.Call, lambda node: _note(node, conditions))])
    variables = [iterator.var for iterator in block.body.iter_vars] if conditions else []
    groups: dict[frozenset[int], list[Any]] = {}
    for condition in conditions:
        seen: list[Any] = []
        walk_types(condition, [(tvm.ir.Var, seen.append)])
        own = frozenset(i for i, v in enumerate(variables) if any(v.same_as(s) for s in seen))
        groups.setdefault(own, []).append(condition)
    found = []
    for group, own_conditions in groups.items():
        share = _outside(block, variables, sorted(group), own_conditions)
        if share > 0:
            found.append((group, share))
    return tuple(found)


def _note(node: Any, conditions: list[Any]) -> None:
    if str(getattr(node.op, "name", "")).endswith("if_then_else"):
        stack = [node.args[0]]
        while stack:
            condition = stack.pop()
            if isinstance(condition, tirx.And):
                stack += [condition.a, condition.b]
            else:
                conditions.append(condition)


def _outside(block: BlockInfo, variables: list[Any], group: list[int], conditions: list[Any]) -> float:
    extents = [block.axes[i].extent for i in group]
    if not group or float(np.prod(extents)) > _MOST_POINTS:
        return 0.0
    grid = np.meshgrid(*(np.arange(e) for e in extents), indexing="ij")
    values = [(variables[i], at) for i, at in zip(group, grid, strict=True)]
    inside = np.ones(grid[0].shape, dtype=bool)
    try:
        for condition in conditions:
            inside &= np.broadcast_to(evaluate(condition, values), inside.shape)
    except ValueError:
        return 0.0
    return float(1 - inside.mean())


def left_out(tiling: Tiling, columns: Columns) -> Floats:
    """Return the share of a tiled block's steps that no instruction is spent on: [N]."""
    kept: Floats = np.ones(columns.size, np.float32)
    for group, share in padded_taps(tiling.block):
        moving: Floats = np.ones(columns.size, np.float32)
        whole = 1
        for i, axis in enumerate(tiling.axes):
            if axis.iterator not in group:
                continue
            factors = columns.factors(tiling.tile_name(i))
            inner = factors[:, 3:].prod(axis=1) if axis.kind == LoopKind.SPATIAL else factors[:, 2]
            moving = moving * inner
            whole *= axis.extent
        is_known = (moving == 1) | (moving == whole)
        kept = kept * np.where(is_known, np.float32(1 - share), np.float32(1))
    return np.asarray(1 - kept, np.float32)
