"""Convolutions on channels-last activations, in one, two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.tvm_api import te, tvm
from tuner.workloads.extents import extent_like, reduction, shape_of


def pad(data: Any, before: Sequence[int], after: Sequence[int], name: str = "padded") -> Any:
    """Surround a tensor with zeros; return it untouched where there is nothing to add.

    Args:
        data: The tensor.
        before: Elements to add in front of each dimension.
        after: Elements to add behind each dimension.
        name: Name of the block.

    Returns:
        A tensor of shape ``before + shape + after``.
    """
    if not any(before) and not any(after):
        return data
    return tvm.topi.nn.pad(data, list(before), list(after), name=name)


def out_extent(extent: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how many positions a sliding window takes; ``padding`` counts both sides."""
    return (extent + padding - dilation * (kernel - 1) - 1) // stride + 1


def convolution(
    data: Any,
    weight: Any,
    strides: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    dilations: Sequence[int],
    groups: int = 1,
    out_dtype: str = "float32",
) -> Any:
    """Correlate channels-last activations with a kernel.

    Args:
        data: [N, *spatial, CI].
        weight: [*kernel, CI / groups, CO].
        strides: One per spatial dimension.
        before: Zeros in front of each spatial dimension.
        after: Zeros behind each spatial dimension.
        dilations: One per spatial dimension.
        groups: Number of channel groups; output channels stay in one dimension.
        out_dtype: Element type of products, sums and result.

    Returns:
        [N, *spatial, CO].
    """
    batch, *extents, _ = shape_of(data)
    *kernel, group_channels, filters = shape_of(weight)
    rank = len(extents)
    size = extent_like(data)
    group_filters = filters // groups
    padded = pad(data, [0, *before, 0], [0, *after, 0])
    out = [
        out_extent(e, k, s, b + a, d)
        for e, k, s, b, a, d in zip(extents, kernel, strides, before, after, dilations, strict=True)
    ]
    taps = [reduction(size, k, f"k{axis}") for k, axis in zip(kernel, "dhw"[3 - rank :], strict=True)]
    channel = reduction(size, group_channels, "ci")
    axes = [*taps, channel]

    def body(n: Any, *index: Any) -> Any:
        *position, co = index
        where = [p * s + t * d for p, s, t, d in zip(position, strides, taps, dilations, strict=True)]
        source = channel if groups == 1 else co // group_filters * group_channels + channel
        value = padded[(n, *where, source)].astype(out_dtype) * weight[(*taps, channel, co)].astype(out_dtype)
        return te.sum(value, axis=axes)

    return te.compute(tuple(map(size, (batch, *out, filters))), body, name=f"conv{rank}d")


def depthwise(
    data: Any,
    weight: Any,
    strides: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    dilations: Sequence[int],
    out_dtype: str = "float32",
) -> Any:
    """Correlate each channel with its own kernel.

    Args:
        data: [N, *spatial, C].
        weight: [*kernel, C] or [*kernel, 1, C].
        strides: One per spatial dimension.
        before: Zeros in front of each spatial dimension.
        after: Zeros behind each spatial dimension.
        dilations: One per spatial dimension.
        out_dtype: Element type of products, sums and result.

    Returns:
        [N, *spatial, C].
    """
    batch, *extents, channels = shape_of(data)
    rank = len(extents)
    kernel = shape_of(weight)[:rank]
    between = (0,) * (len(weight.shape) - rank - 1)
    size = extent_like(data)
    padded = pad(data, [0, *before, 0], [0, *after, 0])
    out = [
        out_extent(e, k, s, b + a, d)
        for e, k, s, b, a, d in zip(extents, kernel, strides, before, after, dilations, strict=True)
    ]
    taps = [reduction(size, k, f"k{axis}") for k, axis in zip(kernel, "dhw"[3 - rank :], strict=True)]

    def body(n: Any, *index: Any) -> Any:
        *position, c = index
        where = [p * s + t * d for p, s, t, d in zip(position, strides, taps, dilations, strict=True)]
        value = padded[(n, *where, c)].astype(out_dtype) * weight[(*taps, *between, c)].astype(out_dtype)
        return te.sum(value, axis=taps)

    return te.compute(tuple(map(size, (batch, *out, channels))), body, name=f"depthwise_conv{rank}d")


def capsule(data: Any, weight: Any, stride: int, padding: int, out_dtype: str = "float32") -> Any:
    """Convolve images whose elements are small matrices (matrix capsules).

    Args:
        data: [N, H, W, C, C, CI] with capsules of C x C.
        weight: [k, k, C, C, CI, CO].
        stride: Step of the window.
        padding: Zeros on each side.
        out_dtype: Element type of products, sums and result.

    Returns:
        [N, H', W', C, C, CO]; each product of elements is a product of C x C matrices.
    """
    batch, rows, columns, width, _, channels = shape_of(data)
    kernel, _, _, _, _, filters = shape_of(weight)
    size = extent_like(data)
    sides = [0, padding, padding, 0, 0, 0]
    padded = pad(data, sides, sides)
    kh, kw = (reduction(size, kernel, name) for name in ("kh", "kw"))
    inner = reduction(size, width, "inner")
    ci = reduction(size, channels, "ci")

    def body(n: Any, h: Any, w: Any, row: Any, column: Any, co: Any) -> Any:
        left = padded[n, h * stride + kh, w * stride + kw, row, inner, ci].astype(out_dtype)
        right = weight[kh, kw, inner, column, ci, co].astype(out_dtype)
        return te.sum(left * right, axis=[kh, kw, inner, ci])

    shape = [out_extent(e, kernel, stride, 2 * padding) for e in (rows, columns)]
    return te.compute(tuple(map(size, (batch, *shape, width, width, filters))), body, name="capsule_conv2d")
