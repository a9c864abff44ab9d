"""Turns transposed convolutions that are ordinary ones into those."""

from __future__ import annotations

from typing import Any

import numpy as np

from search_space.tvm_api import tvm
from tuner.graph.rewriter import Rewriter, array_of, constant, name_of, shape_of

relax = tvm.relax


def convolve_backwards(walk: Rewriter, call: Any) -> Any:
    """Rule: ``conv2d_transpose(x, w)`` of stride 1 becomes ``conv2d(x, w)`` with the taps reversed.

    A single position stays: as a convolution it would be padded with zeros all round.
    """
    if name_of(call) != "relax.nn.conv2d_transpose":
        return None
    attrs = call.attrs
    weight = array_of(call.args[1])
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout or attrs.data_layout))
    if weight is None or layouts != ("NCHW", "IOHW", "NCHW"):
        return None
    if {*map(int, attrs.strides), *map(int, attrs.dilation), int(attrs.groups)} != {1}:
        return None
    edges = [*weight.shape[2:], *weight.shape[2:]]
    padding = [edge - 1 - int(p) for edge, p in zip(edges, attrs.padding, strict=True)]
    if min(padding) < 0 or any(map(int, attrs.output_padding)) or shape_of(call.args[0])[2:] == (1, 1):
        return None
    taps = constant(np.flip(weight, (2, 3)).swapaxes(0, 1), str(call.args[1].ty.dtype))
    dtype = str(call.ty.dtype)
    return walk.emit(relax.op.nn.conv2d(call.args[0], taps, padding=padding, out_dtype=dtype))
