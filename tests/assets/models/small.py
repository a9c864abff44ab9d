"""Small ONNX models with seeded weights, one per family of operators."""

import numpy as np
import onnx

from scripts.bench.definitions.graph import Graph
from scripts.bench.definitions.transformers import bert


def residual_cnn(size: int = 16) -> onnx.ModelProto:
    """Convolutions, batch normalisation, residual addition, pooling, a classifier."""
    g = Graph("residual_cnn")
    x = g.input("image", (1, 3, size, size))
    x = g.op("Relu", g.batch_norm(g.conv(x, (3, 16), (3, 3), (2, 2), (1, 1)), 16))
    x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    y = g.op("Relu", g.batch_norm(g.conv(x, (16, 16), (3, 3), (1, 1), (1, 1), bias=True), 16))
    y = g.batch_norm(g.conv(y, (16, 16), (3, 3), (1, 1), (1, 1)), 16)
    x = g.op("Relu", g.op("Add", x, y))
    x = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1])
    pooled = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    return g.finish(g.op("Softmax", g.dense(pooled, (16, 10)), axis=-1))


def depthwise_cnn() -> onnx.ModelProto:
    """An inverted residual block with its clipped activations, and a channel concatenation."""
    g = Graph("depthwise_cnn")
    low, high = g.scalar(0.0), g.scalar(6.0)
    x = g.input("image", (1, 8, 9, 7))
    y = g.op("Clip", g.batch_norm(g.conv(x, (8, 24), (1, 1)), 24), low, high)
    y = g.op("Clip", g.batch_norm(g.conv(y, (24, 24), (3, 3), (1, 1), (1, 1), 24), 24), low, high)
    y = g.batch_norm(g.conv(y, (24, 8), (1, 1)), 8)
    x = g.op("Concat", g.op("Add", x, y), g.op("Sigmoid", y), axis=1)
    x = g.conv(x, (16, 12), (3, 3), (2, 2), (1, 1), 4, bias=True)
    return g.finish(g.op("HardSwish", x))


def generator() -> onnx.ModelProto:
    """Transposed convolutions, some with borders that the stride does not divide."""
    g = Graph("generator")
    x = g.input("noise", (1, 10, 1, 1))
    x = g.op("Relu", g.batch_norm(g.conv_transpose(x, (10, 16), 4, 1, 0), 16))
    x = g.op("LeakyRelu", g.batch_norm(g.conv_transpose(x, (16, 8), 4, 2, 1), 8), alpha=0.2)
    return g.finish(g.op("Tanh", g.conv_transpose(x, (8, 3), 3, 2, 1)))


def video_cnn() -> onnx.ModelProto:
    """Three-dimensional convolutions."""
    g = Graph("video_cnn")
    x = g.input("video", (1, 3, 4, 8, 8))
    x = g.op("Relu", g.batch_norm(g.conv(x, (3, 8), (3, 3, 3), (1, 2, 2), (1, 1, 1)), 8))
    x = g.op("Relu", g.op("Add", g.conv(x, (8, 8), (3, 3, 3), padding=(1, 1, 1)), x))
    return g.finish(g.op("Flatten", g.op("GlobalAveragePool", x), axis=1))


def transformer(batch: int = 1) -> onnx.ModelProto:
    """Embedding, attention, layer normalisation, the exact GELU."""
    return bert(batch, length=6, layers=1, channels=16, heads=2, vocabulary=11)


def audio_cnn() -> onnx.ModelProto:
    """One-dimensional convolutions with dilation, reductions over time."""
    g = Graph("audio_cnn")
    x = g.input("wave", (2, 4, 20))
    weight = g.weight(8, 4, 3, scale=0.3)
    x = g.op("Conv", x, weight, kernel_shape=[3], dilations=[2], pads=[2, 2], strides=[1])
    x = g.op("Relu", g.batch_norm(x, 8))
    return g.finish(g.op("ReduceMean", x, axes=[2], keepdims=0))


def two_outputs() -> onnx.ModelProto:
    """Two inputs, two outputs, one of them an intermediate value."""
    g = Graph("two_outputs")
    left, right = g.input("left", (3, 4)), g.input("right", (4, 5))
    product = g.op("MatMul", left, right)
    return g.finish(product, g.op("ReduceSum", g.op("Exp", product), g.constant(np.array([1])), keepdims=1))


MODELS = {
    build.__name__: build
    for build in (residual_cnn, depthwise_cnn, generator, video_cnn, transformer, audio_cnn, two_outputs)
}
