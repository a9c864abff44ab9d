"""Transformer encoders, written from their papers."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from scripts.bench.definitions.graph import Graph


def _heads(g: Graph, x: str, batch: int, length: int, heads: int, width: int, order: list[int]) -> str:
    split = g.op("Reshape", g.linear(x, (heads * width, heads * width)), g.shape(batch, length, heads, width))
    return g.op("Transpose", split, perm=order)


def _attention(g: Graph, x: str, batch: int, length: int, heads: int, width: int) -> str:
    query = _heads(g, x, batch, length, heads, width, [0, 2, 1, 3])
    key = _heads(g, x, batch, length, heads, width, [0, 2, 3, 1])
    value = _heads(g, x, batch, length, heads, width, [0, 2, 1, 3])
    scores = g.op("Div", g.op("MatMul", query, key), g.scalar(width**0.5))
    mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
    joined = g.op(
        "Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), g.shape(batch, length, heads * width)
    )
    return g.linear(joined, (heads * width, heads * width))


def _feed_forward(g: Graph, x: str, channels: int, hidden: int) -> str:
    return g.linear(g.gelu(g.linear(x, (channels, hidden))), (hidden, channels))


def bert(
    batch: int = 1,
    length: int = 128,
    layers: int = 12,
    channels: int = 768,
    heads: int = 12,
    vocabulary: int = 30522,
    seed: int = 0,
) -> onnx.ModelProto:
    """BERT's encoder with its embeddings; the defaults are BERT-base (arXiv 1810.04805)."""
    g = Graph("bert", seed)
    tokens = g.input("input_ids", (batch, length), TensorProto.INT64)
    x = g.op("Gather", g.weight(vocabulary, channels, scale=0.02), tokens, axis=0)
    x = g.op("Add", x, g.weight(1, length, channels, scale=0.02))
    x = g.layer_norm(x, channels)
    for _ in range(layers):
        attended = _attention(g, x, batch, length, heads, channels // heads)
        x = g.layer_norm(g.op("Add", attended, x), channels)
        x = g.layer_norm(g.op("Add", _feed_forward(g, x, channels, 4 * channels), x), channels)
    return g.finish(x)


def vit(
    batch: int = 1,
    size: int = 224,
    patch: int = 16,
    layers: int = 12,
    channels: int = 384,
    heads: int = 6,
    classes: int = 1000,
    seed: int = 0,
) -> onnx.ModelProto:
    """A vision transformer; the defaults are ViT-S/16 with 197 tokens (arXiv 2010.11929, 2012.12877)."""
    import numpy as np

    g = Graph("vit", seed)
    patches = (size // patch) ** 2
    x = g.conv(
        g.input("image", (batch, 3, size, size)), (3, channels), (patch, patch), (patch, patch), bias=True
    )
    x = g.op("Transpose", g.op("Reshape", x, g.shape(batch, channels, patches)), perm=[0, 2, 1])
    token = np.repeat(g.random.standard_normal((1, 1, channels), dtype=np.float32) * 0.02, batch, axis=0)
    x = g.op("Concat", g.constant(token.astype(np.float32)), x, axis=1)
    x = g.op("Add", x, g.weight(1, patches + 1, channels, scale=0.02))
    for _ in range(layers):
        attended = _attention(g, g.layer_norm(x, channels), batch, patches + 1, heads, channels // heads)
        x = g.op("Add", x, attended)
        x = g.op("Add", x, _feed_forward(g, g.layer_norm(x, channels), channels, 4 * channels))
    x = g.op("Gather", g.layer_norm(x, channels), g.constant(np.array(0, np.int64), "index"), axis=1)
    return g.finish(g.dense(x, (channels, classes)))
