"""Moves reshapes below what does not care, where they meet their inverses, and drops idle broadcasts."""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, array_of, name_of, shape_of
from tuner.graph.rules.sinking import BINARY, UNARY

relax = tvm.relax


def sink_reshapes(walk: Rewriter, call: Any) -> Any:
    """Rule: ``f(reshape(x))`` becomes ``reshape(f(x))`` for element-wise ``f``, constants included."""
    name = name_of(call)
    if name not in UNARY and name not in BINARY:
        return None
    inner = walk.definition(call.args[0], "relax.reshape")
    if inner is None or not walk.used_once(call.args[0]):
        return None
    source = inner.args[0]
    if name in UNARY:
        moved = relax.Call(call.op, [source, *call.args[1:]], call.attrs, call.ty_args)
    else:
        values = array_of(call.args[1])
        if values is None or shape_of(call) != shape_of(call.args[0]):
            return None
        if values.size != 1 and (values.ndim != 1 or shape_of(source)[-1:] != shape_of(call)[-1:]):
            return None
        operand = call.args[1] if values.ndim <= 1 else relax.const(values.reshape(()), str(values.dtype))
        moved = relax.Call(call.op, [source, operand])
    return walk.emit(relax.op.reshape(walk.emit(moved), shape_of(call)))


def sink_batches(walk: Rewriter, call: Any) -> Any:
    """Rule: ``matmul(reshape(x), y)`` becomes ``reshape(matmul(x, y))`` if only leading dimensions merge.

    With a two-dimensional weight ``x`` has two leading dimensions (batch and sequence); otherwise ``y``
    must be a reshape of the same leading dimensions (batch and heads).
    """
    if name_of(call) != "relax.matmul":
        return None
    inner = walk.definition(call.args[0], "relax.reshape")
    if inner is None:
        return None
    left = inner.args[0]
    right = call.args[1]
    kept = 1
    if len(shape_of(right)) == 2 and array_of(right) is not None:
        if len(shape_of(left)) != 3 or max(shape_of(left)[:-1]) == 1:
            return None
    else:
        other = walk.definition(right, "relax.reshape")
        if other is None:
            return None
        right = other.args[0]
        kept = 2
        if shape_of(left)[:-2] != shape_of(right)[:-2] or shape_of(right)[-2:] != shape_of(call.args[1])[-2:]:
            return None
    if shape_of(left)[-kept:] != shape_of(call.args[0])[-kept:]:
        return None
    if len(shape_of(left)) <= len(shape_of(call.args[0])):
        return None
    product = walk.emit(relax.op.matmul(left, right, call.attrs.out_dtype))
    return walk.emit(relax.op.reshape(product, shape_of(call)))


def drop_broadcasts(walk: Rewriter, call: Any) -> Any:
    """Rule: a broadcast to the same shape is nothing; a weight broadcast over batches is the weight."""
    name = name_of(call)
    if name == "relax.broadcast_to":
        return call.args[0] if shape_of(call) == shape_of(call.args[0]) else None
    if name != "relax.matmul":
        return None
    broadcast = walk.definition(call.args[1], "relax.broadcast_to")
    if broadcast is None:
        return None
    shape = shape_of(broadcast.args[0])
    if len(shape) < 2 or any(extent != 1 for extent in shape[:-2]):
        return None
    if len(shape_of(call)) != len(shape_of(call.args[0])):
        return None
    weight = walk.emit(relax.op.reshape(broadcast.args[0], shape[-2:]))
    return walk.emit(relax.op.matmul(call.args[0], weight, call.attrs.out_dtype))
