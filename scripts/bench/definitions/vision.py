"""Convolutional networks, written from their papers' tables."""

from __future__ import annotations

import onnx

from scripts.bench.definitions.graph import Graph

_RESIDUAL_GAIN = 0.3
"""Keeps random residual networks from growing with depth; trained ones learn small factors here."""


def _conv_norm(
    g: Graph,
    x: str,
    channels: tuple[int, int],
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    rank: int = 2,
    gain: float = 1.0,
) -> str:
    sides = [kernel // 2] * rank
    out = g.conv(x, channels, [kernel] * rank, [stride] * rank, sides, groups)
    return g.batch_norm(out, channels[1], gain)


def _basic_block(g: Graph, x: str, channels: tuple[int, int], stride: int, rank: int = 2) -> str:
    """Two 3-wide convolutions and a short cut (ResNet, figure 5 left)."""
    out = g.op("Relu", _conv_norm(g, x, channels, 3, stride, rank=rank))
    out = _conv_norm(g, out, (channels[1], channels[1]), 3, rank=rank, gain=_RESIDUAL_GAIN)
    if stride != 1 or channels[0] != channels[1]:
        x = _conv_norm(g, x, channels, 1, stride, rank=rank)
    return g.op("Relu", g.op("Add", out, x))


def _bottleneck(g: Graph, x: str, channels: tuple[int, int], stride: int) -> str:
    """1, 3, 1-wide convolutions and a short cut (ResNet, figure 5 right; the stride in the middle)."""
    width = channels[1] // 4
    out = g.op("Relu", _conv_norm(g, x, (channels[0], width), 1))
    out = g.op("Relu", _conv_norm(g, out, (width, width), 3, stride))
    out = _conv_norm(g, out, (width, channels[1]), 1, gain=_RESIDUAL_GAIN)
    if stride != 1 or channels[0] != channels[1]:
        x = _conv_norm(g, x, channels, 1, stride)
    return g.op("Relu", g.op("Add", out, x))


def _head(g: Graph, x: str, channels: int, classes: int = 1000) -> onnx.ModelProto:
    pooled = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    return g.finish(g.dense(pooled, (channels, classes)))


def resnet(depth: int, batch: int = 1, size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """ResNet-18 or ResNet-50 for square images (arXiv 1512.03385, table 1)."""
    blocks, block, expansion = {
        18: ((2, 2, 2, 2), _basic_block, 1),
        50: ((3, 4, 6, 3), _bottleneck, 4),
    }[depth]
    g = Graph(f"resnet{depth}", seed)
    x = g.input("image", (batch, 3, size, size))
    x = g.op("Relu", _conv_norm(g, x, (3, 64), 7, 2))
    x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage * expansion
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            x = block(g, x, (channels, width), stride)
            channels = width
    return _head(g, x, channels)


def resnet3d(batch: int = 1, frames: int = 16, size: int = 112, seed: int = 0) -> onnx.ModelProto:
    """ResNet-18 with three-dimensional kernels for video (R3D, arXiv 1711.11248)."""
    g = Graph("resnet3d18", seed)
    x = g.input("video", (batch, 3, frames, size, size))
    x = g.conv(x, (3, 64), (3, 7, 7), (1, 2, 2), (1, 3, 3))
    x = g.op("Relu", g.batch_norm(x, 64))
    channels = 64
    for stage in range(4):
        width = 64 * 2**stage
        for index in range(2):
            x = _basic_block(g, x, (channels, width), 2 if stage > 0 and index == 0 else 1, rank=3)
            channels = width
    return _head(g, x, channels, 400)


def mobilenet_v2(batch: int = 1, size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """MobileNet-V2, width 1 (arXiv 1801.04381, table 2)."""
    g = Graph("mobilenet_v2", seed)
    low, high = g.scalar(0.0), g.scalar(6.0)

    def relu6(x: str) -> str:
        return g.op("Clip", x, low, high)

    x = g.input("image", (batch, 3, size, size))
    x = relu6(_conv_norm(g, x, (3, 32), 3, 2))
    channels = 32
    table = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    for factor, width, count, first_stride in table:
        for index in range(count):
            stride = first_stride if index == 0 else 1
            hidden = channels * factor
            out = relu6(_conv_norm(g, x, (channels, hidden), 1)) if factor != 1 else x
            out = relu6(_conv_norm(g, out, (hidden, hidden), 3, stride, groups=hidden))
            out = _conv_norm(g, out, (hidden, width), 1)
            x = g.op("Add", out, x) if stride == 1 and channels == width else out
            channels = width
    x = relu6(_conv_norm(g, x, (channels, 1280), 1))
    return _head(g, x, 1280)


def dcgan(batch: int = 1, seed: int = 0) -> onnx.ModelProto:
    """The DCGAN generator for 64 x 64 images (arXiv 1511.06434, figure 1; widths halved as in Ansor)."""
    g = Graph("dcgan", seed)
    x = g.input("noise", (batch, 100, 1, 1))
    x = g.conv_transpose(x, (100, 512), 4, 1, 0)
    x = g.op("Relu", g.batch_norm(x, 512))
    for channels in ((512, 256), (256, 128), (128, 64)):
        x = g.op("Relu", g.batch_norm(g.conv_transpose(x, channels, 4, 2, 1), channels[1]))
    return g.finish(g.op("Tanh", g.conv_transpose(x, (64, 3), 4, 2, 1)))


def tiny(batch: int = 1, seed: int = 0) -> onnx.ModelProto:
    """A residual network of three convolutions, to try the benchmark with."""
    g = Graph("tiny", seed)
    x = g.input("image", (batch, 3, 32, 32))
    x = g.op("Relu", _conv_norm(g, x, (3, 16), 3, 2))
    x = _basic_block(g, x, (16, 16), 1)
    return _head(g, x, 16, 10)
