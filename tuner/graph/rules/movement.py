"""Removes and joins operators that only move data."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, name_of, shape_of

relax = tvm.relax
_RESHAPING = {"relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"}
_LARGEST_TRIED = 1 << 24
"""Elements up to which the order is compared one by one (0.1 s)."""


def join_reshapes(walk: Rewriter, call: Any) -> Any:
    """Rule: a reshape of a reshape is one; a reshape to the same shape is nothing."""
    if name_of(call) not in _RESHAPING:
        return None
    source = call.args[0]
    shape = shape_of(call)
    if shape_of(source) == shape:
        return source
    inner = walk.definition(source)
    if name_of(inner) in _RESHAPING:
        return walk.emit(relax.op.reshape(inner.args[0], shape))
    return walk.emit(relax.op.reshape(source, shape)) if name_of(call) != "relax.reshape" else None


def join_permutations(walk: Rewriter, call: Any) -> Any:
    """Rule: permutations compose; one that keeps the order of the real dimensions is a reshape."""
    if name_of(call) != "relax.permute_dims":
        return None
    source = call.args[0]
    axes = axes_of(call)
    inner = walk.definition(source, "relax.permute_dims")
    if inner is not None:
        first = axes_of(inner)
        return walk.emit(relax.op.permute_dims(inner.args[0], [first[axis] for axis in axes]))
    if axes == list(range(len(axes))):
        return source
    shape = shape_of(source)
    real = [axis for axis in axes if shape[axis] != 1]
    if real == sorted(real):
        return walk.emit(relax.op.reshape(source, shape_of(call)))
    middle = walk.definition(source, "relax.reshape")
    inner = walk.definition(middle.args[0], "relax.permute_dims") if middle is not None else None
    if inner is not None and _is_reshape(inner, middle, axes):
        return walk.emit(relax.op.reshape(inner.args[0], shape_of(call)))
    return None


def _is_reshape(inner: Any, middle: Any, axes: list[int]) -> bool:
    """Report whether permuting, reshaping and permuting leaves the order of the elements."""
    count = prod(shape_of(middle))
    if count > _LARGEST_TRIED:
        return False
    order = np.arange(count, dtype=np.int32)
    moved = order.reshape(shape_of(inner.args[0])).transpose(axes_of(inner))
    return bool(np.array_equal(moved.reshape(shape_of(middle)).transpose(axes).reshape(-1), order))


def axes_of(call: Any) -> list[int]:
    """Return the axes of a permutation, the default filled in."""
    rank = len(shape_of(call.args[0]))
    if call.attrs.axes is None:
        return list(reversed(range(rank)))
    return [int(axis) % rank for axis in call.attrs.axes]
