"""An ONNX graph of the benchmark's networks as a PyTorch module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

_CONVOLUTIONS = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}
Tensors = dict[str, Any]


class GraphModule(nn.Module):
    """Runs the nodes of a graph in order.

    Args:
        path: The ONNX file.
        layout: Memory format of the convolutions' weights; PyTorch's usual one when absent.
    """

    def __init__(self, path: str, layout: Any = None) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        arrays = {t.name: np.array(numpy_helper.to_array(t)) for t in graph.initializer}
        nodes = [_Node(node) for node in graph.node]
        nodes = _fold_batch_norm(nodes, arrays)
        nodes = _join_gelu(_join_attention(nodes, arrays), arrays)
        self._nodes = nodes
        self._inputs = [value.name for value in graph.input]
        self._output = graph.output[0].name
        self._shapes = {name: a for name, a in arrays.items() if a.dtype == np.int64}
        self._names = {name: f"weight_{i}" for i, name in enumerate(arrays)}
        convolved = {node.inputs[1] for node in nodes if node.kind in ("Conv", "ConvTranspose")}
        for name, array in arrays.items():
            tensor = torch.from_numpy(array)
            if layout is not None and name in convolved:
                tensor = tensor.to(memory_format=layout)
            self.register_buffer(self._names[name], tensor)

    def forward(self, *inputs: Any) -> Any:
        """Run the graph."""
        values: Tensors = {name: getattr(self, own) for name, own in self._names.items()}
        values.update(zip(self._inputs, inputs, strict=True))
        for node in self._nodes:
            arguments = [values[name] for name in node.inputs]
            values[node.output] = _OPERATORS[node.kind](node, arguments, self._shapes)
        return values[self._output]


class _Node:
    def __init__(self, node: onnx.NodeProto) -> None:
        self.kind = node.op_type
        self.inputs = list(node.input)
        self.output = node.output[0]
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _fold_batch_norm(nodes: list[_Node], arrays: dict[str, Any]) -> list[_Node]:
    makers = {node.output: node for node in nodes if node.kind in ("Conv", "ConvTranspose")}
    uses = Counter(name for node in nodes for name in node.inputs)
    kept: list[_Node] = []
    for node in nodes:
        source = makers.get(node.inputs[0]) if node.kind == "BatchNormalization" else None
        if source is None or uses[source.output] != 1:
            kept.append(node)
            continue
        scale, shift, mean, variance = (arrays[name] for name in node.inputs[1:])
        factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        weight = arrays[source.inputs[1]]
        axis = 0 if source.kind == "Conv" else 1
        along = [1] * weight.ndim
        along[axis] = -1
        arrays[source.inputs[1]] = (weight * factor.reshape(along)).astype(np.float32)
        bias = arrays[source.inputs[2]] if len(source.inputs) > 2 else np.zeros_like(mean)
        name = f"{source.output}.bias"
        arrays[name] = ((bias - mean) * factor + shift).astype(np.float32)
        source.inputs = [*source.inputs[:2], name]
        source.output = node.output
    return kept


def _join_attention(nodes: list[_Node], arrays: Mapping[str, Any]) -> list[_Node]:
    """``MatMul, Div by a number, Softmax, MatMul`` becomes one node."""
    by_output = {node.output: node for node in nodes}
    gone: set[str] = set()
    for node in nodes:
        softmax = by_output.get(node.inputs[0]) if node.kind == "MatMul" else None
        scaled = by_output.get(softmax.inputs[0]) if softmax and softmax.kind == "Softmax" else None
        scores = by_output.get(scaled.inputs[0]) if scaled and scaled.kind == "Div" else None
        if softmax is None or scaled is None or scores is None or scores.kind != "MatMul":
            continue
        node.kind = "Attention"
        node.attributes = {"scale": 1.0 / float(arrays[scaled.inputs[1]])}
        node.inputs = [*scores.inputs, node.inputs[1]]
        gone |= {softmax.output, scaled.output, scores.output}
    return [node for node in nodes if node.output not in gone]


def _join_gelu(nodes: list[_Node], arrays: Mapping[str, Any]) -> list[_Node]:
    """``x * (erf(x / sqrt 2) + 1) * 0.5`` becomes one node."""
    by_output = {node.output: node for node in nodes}
    gone: set[str] = set()
    for node in nodes:
        chain = [node]
        for kind, place in (("Mul", 0), ("Add", 1), ("Erf", 0), ("Div", 0)):
            inner = by_output.get(chain[-1].inputs[place])
            if node.kind != "Mul" or inner is None or inner.kind != kind:
                break
            chain.append(inner)
        if len(chain) == 5:
            node.kind, node.inputs, node.attributes = "Gelu", [chain[-1].inputs[0]], {}
            gone |= {inner.output for inner in chain[1:]}
    return [node for node in nodes if node.output not in gone]


def _conv(node: _Node, a: list[Any], _: Mapping[str, Any]) -> Any:
    rank = a[0].dim() - 2
    attributes = node.attributes
    bias = a[2] if len(a) > 2 else None
    strides, pads = list(attributes["strides"]), list(attributes["pads"])[:rank]
    if node.kind == "ConvTranspose":
        return functional.conv_transpose2d(a[0], a[1], bias, strides, pads)
    groups = int(attributes.get("group", 1))
    return _CONVOLUTIONS[rank + 2](a[0], a[1], bias, strides, pads, 1, groups)


def _attention(node: _Node, a: list[Any], _: Mapping[str, Any]) -> Any:
    query, key, value = a
    return functional.scaled_dot_product_attention(
        query, key.transpose(-1, -2), value, scale=node.attributes["scale"]
    )


def _reshape(node: _Node, a: list[Any], shapes: Mapping[str, Any]) -> Any:
    return a[0].reshape([int(extent) for extent in shapes[node.inputs[1]]])


def _gather(node: _Node, a: list[Any], shapes: Mapping[str, Any]) -> Any:
    axis = int(node.attributes.get("axis", 0))
    if node.inputs[1] in shapes:
        return a[0].select(axis, int(shapes[node.inputs[1]]))
    return functional.embedding(a[1], a[0])


def _pool(node: _Node, a: list[Any], _: Mapping[str, Any]) -> Any:
    attributes = node.attributes
    return functional.max_pool2d(
        a[0], list(attributes["kernel_shape"]), list(attributes["strides"]), list(attributes["pads"])[:2]
    )


_OPERATORS: Mapping[str, Callable[[_Node, list[Any], Mapping[str, Any]], Any]] = {
    "Add": lambda n, a, s: a[0] + a[1],
    "Attention": _attention,
    "BatchNormalization": lambda n, a, s: functional.batch_norm(a[0], a[3], a[4], a[1], a[2], False, 0.0),
    "Clip": lambda n, a, s: functional.relu6(a[0]),
    "Concat": lambda n, a, s: torch.cat(a, int(n.attributes["axis"])),
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Div": lambda n, a, s: a[0] / a[1],
    "Erf": lambda n, a, s: torch.erf(a[0]),
    "Flatten": lambda n, a, s: a[0].flatten(1),
    "Gather": _gather,
    "Gelu": lambda n, a, s: functional.gelu(a[0]),
    "Gemm": lambda n, a, s: functional.linear(a[0], a[1], a[2]),
    "GlobalAveragePool": lambda n, a, s: a[0].mean(tuple(range(2, a[0].dim())), keepdim=True),
    "LayerNormalization": lambda n, a, s: functional.layer_norm(a[0], a[1].shape, a[1], a[2], 1e-5),
    "MatMul": lambda n, a, s: a[0] @ a[1],
    "MaxPool": _pool,
    "Mul": lambda n, a, s: a[0] * a[1],
    "Relu": lambda n, a, s: torch.relu(a[0]),
    "Reshape": _reshape,
    "Softmax": lambda n, a, s: torch.softmax(a[0], int(n.attributes.get("axis", -1))),
    "Tanh": lambda n, a, s: torch.tanh(a[0]),
    "Transpose": lambda n, a, s: a[0].permute(list(n.attributes["perm"])),
}
