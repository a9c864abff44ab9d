"""Evaluates calls whose arguments are all constants, with NumPy.

TVM's FoldConstant compiles a function for each such call, about 0.1 s each; ResNet-50 has hundreds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, array_of, constant, name_of, shape_of

relax = tvm.relax
Array = NDArray[Any]

_UNARY: dict[str, Callable[[Array], Array]] = {
    "relax.sqrt": np.sqrt,
    "relax.rsqrt": lambda x: np.asarray(1 / np.sqrt(x)),
    "relax.exp": np.exp,
    "relax.log": np.log,
    "relax.negative": np.negative,
    "relax.abs": np.abs,
    "relax.isnan": np.isnan,
}
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "relax.add": np.add,
    "relax.subtract": np.subtract,
    "relax.multiply": np.multiply,
    "relax.maximum": np.maximum,
    "relax.minimum": np.minimum,
    "relax.power": np.power,
    "relax.less": np.less,
    "relax.greater": np.greater,
    "relax.equal": np.equal,
}
_LARGEST_BROADCAST = 4096
"""Elements up to which a constant is stored broadcast; weights are better stored once."""
_RESHAPING = {"relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"}


def fold_shapes(walk: Rewriter, call: Any) -> Any:
    """Rule: the shape of a tensor, taken as a tensor, is a constant."""
    if name_of(call) != "relax.shape_to_tensor":
        return None
    source = call.args[0]
    if walk.definition(source, "relax.shape_of") is not None:
        source = walk.definition(source).args[0].ty.shape
    if not isinstance(source, relax.ShapeExpr) or not all(hasattr(e, "value") for e in source.values):
        return None
    return constant(np.array([int(extent) for extent in source.values], np.int64), "int64")


def fold_constants(_: Rewriter, call: Any) -> Any:
    """Rule: ``f(constant, ...)`` becomes a constant."""
    name = name_of(call)
    if name == "relax.concat" and isinstance(call.args[0], relax.Tuple):
        parts = [array_of(field) for field in call.args[0].fields]
        if any(part is None for part in parts):
            return None
        return constant(
            np.concatenate([p for p in parts if p is not None], int(call.attrs.axis)), str(call.ty.dtype)
        )
    arrays = [array_of(argument) for argument in call.args]
    first = arrays[0] if arrays else None
    if first is None:
        return None
    value: Array | None = None
    if name in _UNARY:
        value = _UNARY[name](first)
    elif name in _BINARY or name == "relax.divide":
        second = arrays[1]
        if second is None:
            return None
        if name in _BINARY:
            value = _BINARY[name](first, second)
        elif np.issubdtype(first.dtype, np.floating):
            value = np.divide(first, second)
    elif name in _RESHAPING:
        value = first.reshape(shape_of(call))
    elif name == "relax.broadcast_to" and np.prod(shape_of(call)) <= max(first.size, _LARGEST_BROADCAST):
        value = np.broadcast_to(first, shape_of(call))
    elif name == "relax.permute_dims":
        value = np.transpose(first, _axes(call))
    elif name == "relax.take" and arrays[1] is not None and np.all(arrays[1] >= 0):
        value = np.take(first, arrays[1], None if call.attrs.axis is None else int(call.attrs.axis))
    elif name == "relax.astype":
        value = first.astype(str(call.ty.dtype))
    elif name == "relax.where" and len(arrays) == 3 and arrays[1] is not None and arrays[2] is not None:
        value = np.where(first, arrays[1], arrays[2])
    return None if value is None else constant(value, str(call.ty.dtype))


def _axes(call: Any) -> list[int] | None:
    return None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes]
