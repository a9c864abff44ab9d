"""Turns inference-time batch normalisation into a scale and a shift, drops what inference skips."""

from __future__ import annotations

from typing import Any

import numpy as np

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, array_of, constant, name_of, shape_of

relax = tvm.relax


def decompose_batch_norm(walk: Rewriter, call: Any) -> Any:
    """Rule: ``batch_norm(x, gamma, beta, mean, variance)`` becomes ``x * scale + shift``."""
    if name_of(call) != "relax.nn.batch_norm":
        return None
    values = [array_of(argument) for argument in call.args[1:5]]
    if any(value is None for value in values) or bool(call.attrs.training):
        return None
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
    data = call.args[0]
    dtype = str(data.ty.dtype)
    scale = (gamma if bool(call.attrs.scale) else 1.0) / np.sqrt(variance + float(call.attrs.epsilon))
    shift = (beta if bool(call.attrs.center) else 0.0) - mean * scale
    rank = len(shape_of(data))
    axis = int(call.attrs.axis) % rank
    shape = [-1 if index == axis else 1 for index in range(rank)]
    scaled = walk.emit(relax.op.multiply(data, constant(scale.reshape(shape), dtype)))
    shifted = walk.emit(relax.op.add(scaled, constant(shift.reshape(shape), dtype)))
    return relax.Tuple([shifted, call.args[3], call.args[4]])


def drop_dropout(_: Rewriter, call: Any) -> Any:
    """Rule: ``dropout(x)`` becomes ``x``; its mask is not computed."""
    if name_of(call) != "relax.nn.dropout":
        return None
    return relax.Tuple([call.args[0], call.args[0]])
