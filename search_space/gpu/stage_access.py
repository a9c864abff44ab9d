"""Which operands can be staged in shared memory, and how far an index reaches over a tile.

Indices that divide fused iterators (``m // 28``, ``m % 28``) cover a box only where a tile ends at a carry.
How far they reach over a tile stands in tables, because it is no multiple of the tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.access import BlockInfo, BufferUse
from search_space.tvm_api import tirx, tvm, tvm_ffi, walk_types

_DIVISIONS = (tirx.FloorDiv, tirx.FloorMod)
_NOT_LINEAR = (tirx.Mul, tirx.Min, tirx.Max, tirx.Div, tirx.Mod, tirx.Cast, tvm.ir.TensorLoad, tvm.ir.Call)
"""What else may stand in an index besides sums; of these only products with a constant are linear."""
_SELECTION = "if_then_else"


@dataclass(frozen=True, slots=True, eq=False)
class StageAccess:
    """How the index of a staged operand follows the iterators that it divides.

    Attributes:
        carries: Iterator to the numbers of steps between two carries.
        reach: Dimension and iterator to [extent]: entry n is how far the index moves over n + 1 steps from
            a multiple of n + 1.
    """

    carries: Mapping[int, tuple[int, ...]]
    reach: Mapping[tuple[int, int], NDArray[np.int64]]


def stage_access(block: BlockInfo, use: BufferUse) -> StageAccess | None:
    """Describe how a block reads an operand; None where no stage of it has a known size.

    That is so where the block reads it under a condition (inlined padding: the sketch that pads while it
    fetches stages it), at several places, at indices that are data, or at divided sums of iterators.
    """
    if block.body is None or _is_guarded(block.body, use.name):
        return None
    loads: list[list[Any]] = []

    def note(node: Any) -> None:
        if str(node.source.name) == use.name:
            loads.append(list(node.indices))

    walk_types(block.body.body, [(tvm.ir.TensorLoad, note)])
    if any(not tvm_ffi.structural_equal(loads[0], other) for other in loads[1:]):
        return None
    if use.affine:
        return StageAccess({}, {})
    variables = [iterator.var for iterator in block.body.iter_vars]
    analyzer = tvm.sym.Analyzer()
    for variable, axis in zip(variables, block.axes, strict=True):
        analyzer.bind(variable, tvm.ir.Range(0, axis.extent))
    indices = [analyzer.simplify(index) for index in loads[0]]
    carries = _carries(indices, variables)
    if carries is None:
        return None
    divided = {i: found for i, found in carries.items() if block.axes[i].group == 1}
    reach = {
        (d, i): _reach(index, variables, i, block.axes[i].extent)
        for d, index in enumerate(indices)
        for i in divided
    }
    return StageAccess({i: tuple(sorted(found)) for i, found in divided.items()}, reach)


def _is_guarded(block: Any, buffer: str) -> bool:
    """Report whether a value of the buffer is read only under a condition."""
    found: list[bool] = []

    def load(node: Any) -> None:
        if str(node.source.name) == buffer:
            found.append(True)

    def call(node: Any) -> None:
        if str(getattr(node.op, "name", "")).endswith(_SELECTION):
            for value in list(node.args)[1:]:
                walk_types(value, [(tvm.ir.TensorLoad, load)])

    def select(node: Any) -> None:
        for value in (node.true_value, node.false_value):
            walk_types(value, [(tvm.ir.TensorLoad, load)])

    walk_types(block.body, [(tvm.ir.Call, call), (tirx.Select, select)])
    return bool(found)


def _carries(indices: list[Any], variables: list[Any]) -> dict[int, set[int]] | None:
    """Collect after how many steps each iterator carries; None where something else is divided.

    Sums of terms of one iterator each are what is left then: their reaches add up.
    """
    found: dict[int, set[int]] = {}
    known: list[bool] = []

    def position(node: Any) -> int:
        return next((i for i, variable in enumerate(variables) if node.same_as(variable)), -1)

    def divide(node: Any) -> None:
        inner, steps = node.a, int(node.b) if isinstance(node.b, tirx.IntImm) else 0
        if isinstance(inner, tirx.FloorDiv) and isinstance(inner.b, tirx.IntImm):
            steps *= int(inner.b)
        if isinstance(inner, _DIVISIONS):
            inner = inner.a
        place = position(inner)
        known.append(place >= 0 and steps > 0)
        found.setdefault(place, set()).add(steps)

    def other(node: Any) -> None:
        known.append(isinstance(node, tirx.Mul) and isinstance(node.b, tirx.IntImm))

    for index in indices:
        if hasattr(index, "ty"):
            walk_types(index, [(_DIVISIONS, divide), (_NOT_LINEAR, other)])
    return found if all(known) else None


def _reach(index: Any, variables: list[Any], moved: int, extent: int) -> NDArray[np.int64]:
    """Tabulate how far an index moves over the first steps of one iterator."""
    values = np.broadcast_to(_at(index, variables, moved, np.arange(extent)), extent)
    return np.asarray(np.maximum.accumulate(values) - np.minimum.accumulate(values))


def _at(node: Any, variables: list[Any], moved: int, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Evaluate an index for all steps of one iterator, the others being zero."""
    if not hasattr(node, "ty"):
        return np.asarray(int(node))
    if isinstance(node, tirx.IntImm):
        return np.asarray(int(node))
    if isinstance(node, tvm.ir.Var):
        return steps if node.same_as(variables[moved]) else np.asarray(0)
    left, right = (_at(part, variables, moved, steps) for part in (node.a, node.b))
    if isinstance(node, tirx.Add):
        return np.asarray(left + right)
    if isinstance(node, tirx.Sub):
        return np.asarray(left - right)
    if isinstance(node, tirx.Mul):
        return np.asarray(left * right)
    return np.asarray(left // right if isinstance(node, tirx.FloorDiv) else left % right)
