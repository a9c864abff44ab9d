"""What an index means, found by evaluating it: windows, strides, dilation, inserted zeros, borders.

Import pipelines write the same convolution in many ways (padding as a block or as a condition,
dilated inputs as a block, divisions, flipped kernels). Instead of matching expressions, the index
and its conditions are evaluated for every value of their two iterators and a formula is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.rewrites.program import Axis
from search_space.tvm_api import tirx, tvm, tvm_ffi

MAX_DIVISOR = 8
MAX_POINTS = 1 << 20

_BINARY = {
    tirx.Add: np.add,
    tirx.Sub: np.subtract,
    tirx.Mul: np.multiply,
    tirx.FloorDiv: np.floor_divide,
    tirx.FloorMod: np.mod,
    tirx.Min: np.minimum,
    tirx.Max: np.maximum,
    tirx.LT: np.less,
    tirx.LE: np.less_equal,
    tirx.GT: np.greater,
    tirx.GE: np.greater_equal,
    tirx.EQ: np.equal,
    tirx.NE: np.not_equal,
    tirx.And: np.logical_and,
    tirx.Or: np.logical_or,
}


@dataclass(frozen=True, slots=True, eq=False)
class Dim:
    """How one dimension of an operand is indexed: ``(stride*spatial + dilation*tap + offset) / divisor``.

    The element is there where the division is exact and the quotient lies in the dimension;
    elsewhere the operand counts as zero.

    Attributes:
        spatial: Output iterator, if any.
        tap: Reduction iterator, if any.
        stride: Coefficient of the output iterator.
        dilation: Coefficient of the reduction iterator.
        offset: Constant; minus the padding for a convolution.
        divisor: More than 1 where zeros are inserted between elements.
        extent: Size of the dimension.
        is_guarded: Whether some combination of iterators falls outside.
    """

    spatial: Axis | None
    tap: Axis | None
    stride: int
    dilation: int
    offset: int
    divisor: int
    extent: int
    is_guarded: bool

    @property
    def is_plain(self) -> bool:
        """Whether the index is one iterator and nothing else."""
        alone = (self.spatial is None) != (self.tap is None)
        coefficient = self.stride if self.spatial is not None else self.dilation
        return alone and coefficient == 1 and self.offset == 0 and self.divisor == 1 and not self.is_guarded

    @property
    def is_window(self) -> bool:
        """Whether a reduction iterator slides over it, or it is strided, shifted or guarded."""
        return not self.is_plain and self.spatial is not None


def axes_in(expression: Any, axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Return the iterators that an expression depends on, in the order of ``axes``."""
    if not hasattr(expression, "ty"):
        return ()
    seen: list[Any] = []
    tvm_ffi.structural_walk(expression, [(tvm.ir.Var, lambda v: seen.append(v))])
    return tuple(a for a in axes if any(v.same_as(a.var) for v in seen))


def split_conditions(condition: Any) -> list[Any]:
    """Return the conditions whose conjunction a condition is."""
    if isinstance(condition, tirx.And):
        return [*split_conditions(condition.a), *split_conditions(condition.b)]
    return [condition]


def evaluate(expression: Any, values: Sequence[tuple[Any, NDArray[np.int64]]]) -> NDArray[Any]:
    """Compute an integer or boolean expression for arrays of iterator values.

    Raises:
        ValueError: If the expression has a node that indices do not usually have.
    """
    if isinstance(expression, (int, bool)):
        return np.asarray(expression)
    if isinstance(expression, tirx.IntImm):
        return np.asarray(int(expression.value))
    if isinstance(expression, tvm.ir.Var):
        for variable, array in values:
            if expression.same_as(variable):
                return np.asarray(array)
        raise ValueError(f"free variable {expression.name}")
    if isinstance(expression, tirx.Cast):
        return evaluate(expression.value, values)
    if isinstance(expression, tirx.Not):
        return np.asarray(np.logical_not(evaluate(expression.a, values)))
    for node, function in _BINARY.items():
        if isinstance(expression, node):
            result: NDArray[Any] = function(evaluate(expression.a, values), evaluate(expression.b, values))
            return result
    raise ValueError(f"cannot evaluate {type(expression).__name__}")


def fit(index: Any, conditions: Sequence[Any], axes: Sequence[Axis], extent: int) -> Dim | None:
    """Find the formula of one dimension's index.

    Args:
        index: The index expression.
        conditions: What must hold for the element to be read, on the same iterators.
        axes: The iterators that occur: at most one spatial and one reduction iterator.
        extent: Size of the dimension.

    Returns:
        The formula, or None if the index has another form.
    """
    spatial = [a for a in axes if not a.is_reduction]
    taps = [a for a in axes if a.is_reduction]
    if len(spatial) > 1 or len(taps) > 1:
        return None
    rows = spatial[0].extent if spatial else 1
    columns = taps[0].extent if taps else 1
    if rows * columns > MAX_POINTS:
        return None
    h, r = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    values = [(a.var, h) for a in spatial] + [(a.var, r) for a in taps]
    try:
        at = np.broadcast_to(evaluate(index, values), h.shape)
        valid = np.ones(h.shape, dtype=bool)
        for condition in conditions:
            valid &= np.broadcast_to(evaluate(condition, values), h.shape)
    except ValueError:
        return None
    if not valid.any():
        return None
    for divisor in range(1, MAX_DIVISOR + 1):
        found = _fit_divisor(at, valid, h, r, divisor, extent)
        if found is not None:
            stride, dilation, offset = found
            return Dim(
                spatial[0] if spatial else None,
                taps[0] if taps else None,
                stride,
                dilation,
                offset,
                divisor,
                extent,
                not bool(valid.all()),
            )
    return None


def _fit_divisor(
    at: NDArray[Any], valid: NDArray[np.bool_], h: NDArray[Any], r: NDArray[Any], divisor: int, extent: int
) -> tuple[int, int, int] | None:
    points = np.stack([h[valid], r[valid], np.ones(int(valid.sum()))], axis=1)
    target = at[valid] * divisor
    solution = np.rint(np.linalg.lstsq(points, target, rcond=None)[0]).astype(np.int64)
    stride, dilation, offset = (int(v) for v in solution)
    if h.shape[0] == 1:
        stride = divisor
    if r.shape[1] == 1:
        dilation = divisor
    total = stride * h + dilation * r + offset
    inside = (total % divisor == 0) & (total >= 0) & (total < extent * divisor)
    if not np.array_equal(inside, valid) or not np.array_equal(total[valid], target):
        return None
    return stride, dilation, offset
