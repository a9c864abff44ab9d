"""Writes ONNX graphs with seeded random weights, one node a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Graph:
    """A growing ONNX graph; every method adds a node and returns the name of its result.

    Weights are drawn in the order of the calls from one generator, so a seed fixes the model.

    Args:
        name: The graph's name.
        seed: Seed of the weights.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self.random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def constant(self, value: NDArray[Any], name: str = "weight") -> str:
        """Store an array."""
        label = self._fresh(name)
        self._weights.append(numpy_helper.from_array(np.asarray(value, order="C"), label))
        return label

    def weight(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> str:
        """Store normally distributed weights."""
        values = self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale) + np.float32(shift)
        return self.constant(values.astype(np.float32))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; with several outputs the result is the common stem, ``stem_0`` and so on."""
        label = self._fresh(kind.lower())
        names = [label] if outputs == 1 else [f"{label}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=label, **attributes))
        return label

    def conv(
        self,
        x: str,
        channels: tuple[int, int],
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        padding: Sequence[int] | None = None,
        groups: int = 1,
        *,
        bias: bool = False,
    ) -> str:
        """Convolve; ``channels`` are (in, out), the padding is the same on both sides."""
        fan_in = channels[0] // groups * int(np.prod(kernel))
        weight = self.weight(channels[1], channels[0] // groups, *kernel, scale=(2.0 / fan_in) ** 0.5)
        inputs = [x, weight] + ([self.weight(channels[1], scale=0.1)] if bias else [])
        sides = list(padding or [0] * len(kernel))
        return self.op(
            "Conv",
            *inputs,
            kernel_shape=list(kernel),
            strides=list(stride or [1] * len(kernel)),
            pads=sides + sides,
            group=groups,
        )

    def conv_transpose(
        self, x: str, channels: tuple[int, int], kernel: int, stride: int, padding: int
    ) -> str:
        """Convolve backwards in two dimensions."""
        scale = (2.0 * stride * stride / (channels[0] * kernel * kernel)) ** 0.5
        weight = self.weight(channels[0], channels[1], kernel, kernel, scale=scale)
        return self.op(
            "ConvTranspose",
            x,
            weight,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[padding] * 4,
        )

    def batch_norm(self, x: str, channels: int, gain: float = 1.0) -> str:
        """Normalise with stored statistics, as in inference; ``gain`` is the mean of the factors."""
        scale = self.weight(channels, scale=0.1 * gain, shift=gain)
        shift, mean = self.weight(channels, scale=0.1), self.weight(channels, scale=0.1)
        variance = self.constant(self.random.uniform(0.5, 1.5, channels).astype(np.float32))
        return self.op("BatchNormalization", x, scale, shift, mean, variance, epsilon=1e-5)

    def linear(self, x: str, channels: tuple[int, int]) -> str:
        """Multiply the last dimension with a matrix and add a bias, as exporters write it."""
        weight = self.weight(*channels, scale=channels[0] ** -0.5)
        return self.op("Add", self.op("MatMul", x, weight), self.weight(channels[1], scale=0.02))

    def dense(self, x: str, channels: tuple[int, int]) -> str:
        """Classify with Gemm, the weight transposed as exporters store it."""
        weight = self.weight(channels[1], channels[0], scale=channels[0] ** -0.5)
        return self.op("Gemm", x, weight, self.weight(channels[1], scale=0.02), transB=1)

    def layer_norm(self, x: str, channels: int) -> str:
        """Standardise the last dimension."""
        scale, shift = self.weight(channels, scale=0.1, shift=1.0), self.weight(channels, scale=0.1)
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5)

    def gelu(self, x: str) -> str:
        """The exact GELU in five nodes, as exporters write it."""
        inner = self.op("Erf", self.op("Div", x, self.scalar(2.0**0.5)))
        return self.op("Mul", self.op("Mul", x, self.op("Add", inner, self.scalar(1.0))), self.scalar(0.5))

    def scalar(self, value: float) -> str:
        """Store a single number."""
        return self.constant(np.array(value, np.float32), "scalar")

    def shape(self, *extents: int) -> str:
        """Store a shape."""
        return self.constant(np.array(extents, np.int64), "shape")

    def finish(self, *outputs: str) -> onnx.ModelProto:
        """Return the checked model, its intermediate shapes inferred.

        Args:
            *outputs: Names of the results.

        Returns:
            The model; ``onnx.checker`` has passed.
        """
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, results, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(inferred)
        return inferred

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
