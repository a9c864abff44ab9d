"""Moves constant factors into weights and joins constant summands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, array_of, constant, name_of, shape_of

relax = tvm.relax
_CONVOLUTIONS = {"relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d"}
_TRANSPOSED = {"relax.nn.conv1d_transpose", "relax.nn.conv2d_transpose", "relax.nn.conv3d_transpose"}
_BINARY = {
    f"relax.{name}"
    for name in ("add", "multiply", "maximum", "minimum", "power", "less", "subtract", "divide")
}


def normalise_arithmetic(walk: Rewriter, call: Any) -> Any:
    """Rule: ``x - c`` becomes ``x + -c``, ``x / c`` becomes ``x * (1 / c)``, ``c + x`` becomes ``x + c``."""
    name = name_of(call)
    if name not in ("relax.add", "relax.subtract", "relax.multiply", "relax.divide"):
        return None
    left, right = call.args
    values = array_of(right)
    if values is None:
        if name in ("relax.add", "relax.multiply") and array_of(left) is not None:
            return walk.emit(relax.Call(call.op, [right, left]))
        return None
    if not np.issubdtype(values.dtype, np.floating):
        return None
    dtype = str(right.ty.dtype)
    if name == "relax.subtract":
        return walk.emit(relax.op.add(left, constant(-values, dtype)))
    if name == "relax.divide" and np.all(values != 0):
        return walk.emit(relax.op.multiply(left, constant(1.0 / values.astype(np.float64), dtype)))
    return None


def split_clip(walk: Rewriter, call: Any) -> Any:
    """Rule: ``clip(x, low, high)`` becomes a maximum and a minimum, which layouts pass through."""
    if name_of(call) != "relax.clip" or not all(hasattr(bound, "value") for bound in call.args[1:]):
        return None
    dtype = str(call.ty.dtype)
    low, high = (relax.const(bound.value, dtype) for bound in call.args[1:])
    return walk.emit(relax.op.minimum(walk.emit(relax.op.maximum(call.args[0], low)), high))


def shrink_constants(walk: Rewriter, call: Any) -> Any:
    """Rule: a constant summand or factor loses its leading dimensions of one.

    Biases then have one dimension whatever layout they came from, and single numbers none, which lets
    them disappear into the code of the function.
    """
    if name_of(call) not in _BINARY:
        return None
    values = array_of(call.args[1])
    if values is None or shape_of(call) != shape_of(call.args[0]):
        return None
    wanted = values.shape
    while wanted and wanted[0] == 1:
        wanted = wanted[1:]
    if wanted == values.shape:
        return None
    smaller = constant(values.reshape(wanted), str(call.args[1].ty.dtype))
    return walk.emit(relax.Call(call.op, [call.args[0], smaller]))


def fold_scale(walk: Rewriter, call: Any) -> Any:
    """Rule: ``conv(x, w) * c`` becomes ``conv(x, w * c)``; the same through a constant bias."""
    if name_of(call) != "relax.multiply":
        return None
    source, factor = call.args
    values = array_of(factor)
    if values is None or not walk.used_once(source) or shape_of(source) != shape_of(call):
        return None
    summed = walk.definition(source, "relax.add")
    if summed is not None:
        bias = array_of(summed.args[1])
        if bias is None or not walk.used_once(summed.args[0]):
            return None
        product = _scaled_weights(walk, summed.args[0], values)
        if product is None or shape_of(product) != shape_of(call):
            return None
        return walk.emit(relax.op.add(product, constant(bias * values, str(call.ty.dtype))))
    return _scaled_weights(walk, source, values)


def join_sums(walk: Rewriter, call: Any) -> Any:
    """Rule: ``(x + a) + b`` becomes ``x + (a + b)``, and likewise for products."""
    name = name_of(call)
    if name not in ("relax.add", "relax.multiply"):
        return None
    inner = walk.definition(call.args[0], name)
    outer_values = array_of(call.args[1])
    if inner is None or outer_values is None or not walk.used_once(call.args[0]):
        return None
    inner_values = array_of(inner.args[1])
    if inner_values is None or not np.issubdtype(inner_values.dtype, np.floating):
        return None
    joined = inner_values + outer_values if name == "relax.add" else inner_values * outer_values
    return walk.emit(relax.Call(call.op, [inner.args[0], constant(joined, str(call.ty.dtype))]))


def _scaled_weights(walk: Rewriter, source: Any, factor: NDArray[Any]) -> Any:
    call = walk.definition(source)
    name = name_of(call)
    if name in _CONVOLUTIONS or name in _TRANSPOSED:
        layout = str(call.attrs.out_layout or call.attrs.data_layout)
        channel = layout.index("C")
        axis = str(call.attrs.kernel_layout).index("O")
        if name in _TRANSPOSED and int(call.attrs.groups) != 1:
            return None
    elif name == "relax.matmul" and call is not None:
        channel, axis = len(shape_of(source)) - 1, len(shape_of(call.args[1])) - 1
        if axis < 1:
            return None
    else:
        return None
    weight = array_of(call.args[1])
    scale = _per_channel(factor, shape_of(source), channel)
    if weight is None or scale is None:
        return None
    scale = scale.reshape([-1 if index == axis else 1 for index in range(weight.ndim)])
    arguments = [call.args[0], constant(weight * scale, str(call.args[1].ty.dtype)), *call.args[2:]]
    return walk.emit(relax.Call(call.op, arguments, call.attrs, call.ty_args))


def _per_channel(values: NDArray[Any], shape: tuple[int, ...], channel: int) -> NDArray[Any] | None:
    """Return one factor per channel if the values vary along the channel only."""
    if values.ndim > len(shape):
        return None
    full = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if any(extent != 1 for index, extent in enumerate(full.shape) if index != channel):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[channel],))
