"""Lowers Relax operators to TensorIR, with our own definitions where they schedule better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from search_space.tvm_api import IRModule, te, tvm
from tuner.graph.rewriter import shape_of
from tuner.workloads.convolution import convolution, depthwise
from tuner.workloads.rows import layer_norm, softmax
from tuner.workloads.transposed import lay_out_phases, spread, transposed

relax = tvm.relax


def legalise(module: IRModule) -> IRModule:
    """Replace every Relax operator by a call of a TensorIR function.

    Args:
        module: A Relax module with static shapes.

    Returns:
        The module; convolutions, softmax and layer normalisation use the definitions of
        :mod:`tuner.workloads`, the rest TVM's own.
    """
    return relax.transform.LegalizeOps(_CUSTOM)(module)


def _default(builder: Any, call: Any) -> Any:
    return call.op.get_attr("FLegalize")(builder, call)


def _emit(builder: Any, call: Any, name: str, build: Callable[..., Any], finish: Any = None) -> Any:
    """Call a new PrimFunc made from TE; ``build`` gets one placeholder per argument."""
    tensors = [
        te.placeholder(tuple(a.ty.shape.values), dtype=str(a.ty.dtype), name=f"{name}_arg{i}")
        for i, a in enumerate(call.args)
    ]
    func = te.create_prim_func([*tensors, build(*tensors)])
    if finish is not None:
        func = finish(func)
    return relax.call_tir(builder.add_func(func, name), list(call.args), call.ty)


def _ints(values: Sequence[Any]) -> list[int]:
    return [int(value) for value in values]


def _convolution(rank: int) -> Callable[[Any, Any], Any]:
    layout = "N" + "DHW"[3 - rank :] + "C"
    kernel_layout = "DHW"[3 - rank :] + "IO"

    def lower(builder: Any, call: Any) -> Any:
        attrs = call.attrs
        layouts = (
            str(attrs.data_layout),
            str(attrs.kernel_layout),
            str(attrs.out_layout or attrs.data_layout),
        )
        if layouts != (layout, kernel_layout, layout):
            return _default(builder, call)
        padding = _ints(attrs.padding)
        before, after = padding[:rank], padding[rank:]
        strides, dilations, groups = _ints(attrs.strides), _ints(attrs.dilation), int(attrs.groups)
        dtype = str(call.ty.dtype)
        channels, filters = shape_of(call.args[0])[-1], shape_of(call.args[1])[-1]
        if groups == channels == filters and groups > 1:
            return _emit(
                builder,
                call,
                f"depthwise_conv{rank}d",
                lambda x, w: depthwise(x, w, strides, before, after, dilations, dtype),
            )
        return _emit(
            builder,
            call,
            f"conv{rank}d",
            lambda x, w: convolution(x, w, strides, before, after, dilations, groups, dtype),
        )

    return lower


def _transposed(builder: Any, call: Any) -> Any:
    attrs = call.attrs
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout or attrs.data_layout))
    if layouts != ("NHWC", "HWIO", "NHWC") or int(attrs.groups) != 1 or set(_ints(attrs.dilation)) != {1}:
        return _default(builder, call)
    padding = _ints(attrs.padding)
    strides, extra = _ints(attrs.strides), _ints(attrs.output_padding)
    if shape_of(call.args[0])[1:3] == (1, 1) and not any(extra):
        return _emit(
            builder,
            call,
            "conv2d_transpose",
            lambda x, w: spread(x, w, padding[:2], padding[2:], str(call.ty.dtype)),
        )
    return _emit(
        builder,
        call,
        "conv2d_transpose",
        lambda x, w: transposed(x, w, strides, padding[:2], padding[2:], extra, str(call.ty.dtype)),
        lay_out_phases,
    )


def _softmax(builder: Any, call: Any) -> Any:
    rank = len(shape_of(call))
    if int(call.attrs.axis) % rank != rank - 1:
        return _default(builder, call)
    return _emit(builder, call, "softmax", softmax)


def _layer_norm(builder: Any, call: Any) -> Any:
    rank = len(shape_of(call))
    axes = sorted(int(axis) % rank for axis in call.attrs.axes)
    trailing = axes == list(range(axes[0], rank)) and axes[0] > 0
    if not trailing or not bool(call.attrs.center) or not bool(call.attrs.scale):
        return _default(builder, call)
    epsilon = float(call.attrs.epsilon)
    return _emit(
        builder, call, "layer_norm", lambda x, scale, shift: layer_norm(x, scale, shift, axes, epsilon)
    )


_CUSTOM = {
    "relax.nn.conv1d": _convolution(1),
    "relax.nn.conv2d": _convolution(2),
    "relax.nn.conv3d": _convolution(3),
    "relax.nn.conv2d_transpose": _transposed,
    "relax.nn.softmax": _softmax,
    "relax.nn.layer_norm": _layer_norm,
}
