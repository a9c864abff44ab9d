"""The benchmark's operators as ONNX models of one node, for the peers that read ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scripts.bench.problem import Array, Problem

OPSET = 17


@dataclass(frozen=True, slots=True)
class OnnxOperator:
    """A model and what to feed it.

    Attributes:
        layout: ``channels first`` or ``channels last``, or ``plain`` where there are no channels.
        model: Weights are constants of it.
        feeds: Inputs by name, converted beforehand.
        back: Turns the model's output into our own layout.
    """

    layout: str
    model: onnx.ModelProto
    feeds: Mapping[str, Array]
    back: Callable[[Array], Array]


def onnx_operators(problem: Problem, arrays: Mapping[str, Array]) -> list[OnnxOperator]:
    """Build the operator as models.

    Args:
        problem: The operator.
        arrays: Its inputs by name.

    Returns:
        Channels first, and where there are channels also with transpositions at the border, for peers that
        fold them into their kernels; nothing for an operator that ONNX lacks.
    """
    if problem.dtype != "float32" or problem.operator not in _MAKERS:
        return []
    return _MAKERS[problem.operator](problem, arrays)


def identity_model() -> onnx.ModelProto:
    """Return a model of one node that does next to nothing."""
    return _model([helper.make_node("Neg", ["data"], ["out"])], {"data": (1,)}, {}, (1,))


def _model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int]],
    constants: Mapping[str, Array],
    output: Sequence[int],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "operator",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, list(output))],
        [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _convolutions(problem: Problem, a: Mapping[str, Array]) -> list[OnnxOperator]:
    v, operator = problem.values, problem.operator
    rank = a["data"].ndim - 2
    weight = a["weight"]
    attributes: dict[str, Any] = {
        "kernel_shape": [v["kernel"]] * rank,
        "strides": [v["stride"]] * rank,
        "pads": [v["padding"]] * (2 * rank),
    }
    kind = "Conv"
    if operator == "t2d":
        kind = "ConvTranspose"
        weight = weight.transpose(2, 3, 0, 1)
    else:
        weight = np.expand_dims(weight, rank) if operator == "dep" else weight
        weight = np.moveaxis(weight, (-1, -2), (0, 1))
        attributes["dilations"] = [v.get("dilation", 1)] * rank
        attributes["group"] = v["channels"] if operator == "dep" else v.get("groups", 1)
    constants: dict[str, Array] = {"weight": weight}
    if operator == "cbr":
        # Inference folds the batch normalisation into the convolution.
        constants["weight"] = weight * a["scale"].reshape(-1, *[1] * (rank + 1))
        constants["bias"] = a["bias"] * a["scale"] + a["shift"]
    first = np.ascontiguousarray(np.moveaxis(a["data"], -1, 1))
    shape = problem.output.shape
    first_out = (shape[0], shape[-1], *shape[1:-1])

    def body(source: str, result: str) -> list[Any]:
        inner = "sum" if operator == "cbr" else result
        nodes = [helper.make_node(kind, [source, *constants], [inner], **attributes)]
        return [*nodes, helper.make_node("Relu", [inner], [result])] if operator == "cbr" else nodes

    forward = [0, rank + 1, *range(1, rank + 1)]
    backward = [0, *range(2, rank + 2), 1]
    last = [
        helper.make_node("Transpose", ["data"], ["first"], perm=forward),
        *body("first", "second"),
        helper.make_node("Transpose", ["second"], ["out"], perm=backward),
    ]
    return [
        OnnxOperator(
            "channels first",
            _model(body("data", "out"), {"data": first.shape}, constants, first_out),
            {"data": first},
            lambda out: np.moveaxis(out, 1, -1),
        ),
        OnnxOperator(
            "channels last",
            _model(last, {"data": a["data"].shape}, constants, shape),
            {"data": a["data"]},
            lambda out: out,
        ),
    ]


def _plain(nodes: Sequence[Any], problem: Problem, arrays: Mapping[str, Array]) -> list[OnnxOperator]:
    model = _model(nodes, {n: a.shape for n, a in arrays.items()}, {}, problem.output.shape)
    return [OnnxOperator("plain", model, arrays, lambda out: out)]


def _product(problem: Problem, a: Mapping[str, Array]) -> list[OnnxOperator]:
    return _plain([helper.make_node("MatMul", ["left", "right"], ["out"])], problem, a)


def _norm(problem: Problem, a: Mapping[str, Array]) -> list[OnnxOperator]:
    node = helper.make_node("ReduceL2", ["data"], ["out"], axes=[1, 2], keepdims=0)
    return _plain([node], problem, a)


def _softmax(problem: Problem, a: Mapping[str, Array]) -> list[OnnxOperator]:
    return _plain([helper.make_node("Softmax", ["data"], ["out"], axis=-1)], problem, a)


def _layer_norm(problem: Problem, a: Mapping[str, Array]) -> list[OnnxOperator]:
    names = ["data", "scale", "shift"]
    node = helper.make_node("LayerNormalization", names, ["out"], axis=-1, epsilon=1e-5)
    return _plain([node], problem, a)


def _attention(problem: Problem, a: Mapping[str, Array]) -> list[OnnxOperator]:
    nodes = [
        helper.make_node("Transpose", ["query"], ["left"], perm=[0, 2, 1, 3]),
        helper.make_node("Transpose", ["value"], ["right"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["left", "right"], ["out"]),
    ]
    return _plain(nodes, problem, a)


_MAKERS: Mapping[str, Callable[[Problem, Mapping[str, Array]], list[OnnxOperator]]] = {
    **dict.fromkeys(("c1d", "c2d", "c3d", "grp", "dil", "dep", "t2d", "cbr"), _convolutions),
    "gmm": _product,
    "mm": _product,
    "nrm": _norm,
    "sfm": _softmax,
    "layernorm": _layer_norm,
    "tbg": _attention,
}
