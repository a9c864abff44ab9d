"""Moves permutations below element-wise operators, where they meet their inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, array_of, constant, name_of, shape_of
from tuner.graph.rules.movement import axes_of

relax = tvm.relax
UNARY = {
    "relax.abs",
    "relax.astype",
    "relax.ceil",
    "relax.clip",
    "relax.cos",
    "relax.erf",
    "relax.exp",
    "relax.floor",
    "relax.log",
    "relax.negative",
    "relax.nn.gelu",
    "relax.nn.gelu_tanh",
    "relax.nn.leakyrelu",
    "relax.nn.relu",
    "relax.nn.relu6",
    "relax.nn.silu",
    "relax.nn.softplus",
    "relax.rsqrt",
    "relax.sigmoid",
    "relax.sign",
    "relax.sin",
    "relax.sqrt",
    "relax.tanh",
}
BINARY = {
    "relax.add",
    "relax.divide",
    "relax.maximum",
    "relax.minimum",
    "relax.multiply",
    "relax.power",
    "relax.subtract",
}
_POOLS = {
    "relax.nn.avg_pool2d": relax.op.nn.avg_pool2d,
    "relax.nn.avg_pool3d": relax.op.nn.avg_pool3d,
    "relax.nn.max_pool2d": relax.op.nn.max_pool2d,
    "relax.nn.max_pool3d": relax.op.nn.max_pool3d,
}
_REDUCTIONS = {
    "relax.max": relax.op.max,
    "relax.mean": relax.op.mean,
    "relax.min": relax.op.min,
    "relax.sum": relax.op.sum,
}


def sink_permutations(walk: Rewriter, call: Any) -> Any:
    """Rule: ``f(permute(x))`` becomes ``permute(f(x))``, likewise with several permuted operands.

    Only for the permutation that ends channels-last code. An operand without it gets its inverse, which
    often meets another one; constants get it now.
    """
    name = name_of(call)
    if name in UNARY:
        return _sink(
            walk,
            call,
            call.args[:1],
            lambda args: relax.Call(call.op, [*args, *call.args[1:]], call.attrs, call.ty_args),
        )
    if name in BINARY:
        return _sink(walk, call, call.args, lambda args: relax.Call(call.op, args))
    if name == "relax.concat" and isinstance(call.args[0], relax.Tuple):
        axis = int(call.attrs.axis) % len(shape_of(call))
        return _sink(walk, call, call.args[0].fields, lambda args: relax.op.concat(args, axis), axis)
    return None


def _sink(
    walk: Rewriter,
    call: Any,
    operands: Sequence[Any],
    rebuild: Callable[[list[Any]], Any],
    axis: int | None = None,
) -> Any:
    inner = [walk.definition(operand, "relax.permute_dims") for operand in operands]
    orders = [axes_of(definition) for definition in inner if definition is not None]
    if not orders or any(order != orders[0] for order in orders):
        return None
    order = orders[0]
    if not _is_channels_first(order):
        return None
    arguments: list[Any] = []
    for operand, definition in zip(operands, inner, strict=True):
        source = definition.args[0] if definition is not None else _inverse(walk, operand, order)
        if source is None:
            return None
        arguments.append(source)
    if axis is not None:
        moved = walk.emit(relax.op.concat(arguments, order[axis]))
    else:
        moved = walk.emit(rebuild(arguments))
    if shape_of(moved) != tuple(shape_of(call)[order.index(i)] for i in range(len(order))):
        return None
    return walk.emit(relax.op.permute_dims(moved, order))


def sink_below_windows(walk: Rewriter, call: Any) -> Any:
    """Rule: pooling and spatial reductions of ``permute(x)`` become permutations of the same on ``x``."""
    name = name_of(call)
    inner = walk.definition(call.args[0], "relax.permute_dims") if call.args else None
    if inner is None or not _is_channels_first(axes_of(inner)):
        return None
    order, source = axes_of(inner), inner.args[0]
    if name in _POOLS:
        attrs = call.attrs
        rank = len(order)
        first, last = ("NC" + "DHW"[5 - rank :], "N" + "DHW"[5 - rank :] + "C")
        if str(attrs.layout) != first or str(attrs.out_layout or first) != first:
            return None
        sizes = [[int(v) for v in field] for field in (attrs.pool_size, attrs.strides, attrs.padding)]
        moved = _POOLS[name](
            source,
            sizes[0],
            sizes[1],
            sizes[2],
            [int(v) for v in attrs.dilation],
            bool(attrs.ceil_mode),
            bool(attrs.count_include_pad),
            last,
        )
        return walk.emit(relax.op.permute_dims(walk.emit(moved), order))
    if name in _REDUCTIONS and call.attrs.axis is not None:
        rank = len(order)
        axes = sorted(order[int(axis) % rank] for axis in call.attrs.axis)
        keep = bool(call.attrs.keepdims)
        reduced = walk.emit(_REDUCTIONS[name](source, axes, keep))
        if not keep:
            left = [axis for axis in order if axis not in axes]
            order = [sorted(left).index(axis) for axis in left]
        return walk.emit(relax.op.permute_dims(reduced, order))
    return None


def _is_channels_first(order: list[int]) -> bool:
    """Report whether a permutation is the one that channels-last code ends with.

    Only from four dimensions on: with three it is its own inverse, and operands would take turns.
    """
    rank = len(order)
    return rank > 3 and order == [0, rank - 1, *range(1, rank - 1)]


def _inverse(walk: Rewriter, operand: Any, order: list[int]) -> Any:
    """Return what ``permute(result, order)`` broadcasts like the operand."""
    back = [int(axis) for axis in np.argsort(order)]
    values = array_of(operand)
    if values is None:
        if len(shape_of(operand)) != len(order):
            return None
        return walk.emit(relax.op.permute_dims(operand, back))
    if values.ndim == 0:
        return operand
    full = values.reshape((1,) * (len(order) - values.ndim) + values.shape)
    return constant(full.transpose(back), str(operand.ty.dtype))
