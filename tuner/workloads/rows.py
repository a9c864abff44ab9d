"""Reductions along rows: norm, softmax, layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.tvm_api import te, tirx
from tuner.workloads.extents import extent_like, reduction, shape_of


def norm(data: Any) -> Any:
    """Return the Frobenius norm of each matrix: [B, N, M] -> [B]."""
    size = extent_like(data)
    batch, rows, columns = shape_of(data)
    i = reduction(size, rows, "i")
    j = reduction(size, columns, "j")
    squares = te.compute(
        (size(batch),), lambda b: te.sum(data[b, i, j] * data[b, i, j], axis=[i, j]), name="squares"
    )
    return te.compute((size(batch),), lambda b: te.sqrt(squares[b]), name="norm")


def softmax(data: Any, name: str = "softmax") -> Any:
    """Normalise the exponentials along the last dimension, shifted by the largest value."""
    size = extent_like(data)
    extents = shape_of(data)
    shape = tuple(map(size, extents))
    lead = shape[:-1]
    k = reduction(size, extents[-1], "k")
    largest = te.compute(lead, lambda *at: te.max(data[(*at, k)], axis=[k]), name="largest")
    powers = te.compute(shape, lambda *at: te.exp(data[at] - largest[at[:-1]]), name="powers")
    r = reduction(size, extents[-1], "r")
    total = te.compute(lead, lambda *at: te.sum(powers[(*at, r)], axis=[r]), name="total")
    return te.compute(shape, lambda *at: powers[at] / total[at[:-1]], name=name)


def layer_norm(data: Any, scale: Any, shift: Any, axes: Sequence[int], epsilon: float) -> Any:
    """Standardise along the trailing dimensions, then scale and shift.

    Args:
        data: Any shape.
        scale: The shape of the trailing dimensions.
        shift: The shape of the trailing dimensions.
        axes: The trailing dimensions, counted from the front.
        epsilon: Added to the variance.

    Returns:
        The shape of ``data``. Mean and variance take two passes, as numerics want.
    """
    size = extent_like(data)
    extents = shape_of(data)
    split = min(axes)
    tail = extents[split:]
    shape = tuple(map(size, extents))
    lead = shape[:split]
    count = 1
    for extent in tail:
        count *= extent
    k = [reduction(size, e, f"k{i}") for i, e in enumerate(tail)]
    total = te.compute(lead, lambda *at: te.sum(data[(*at, *k)], axis=k), name="row_sum")
    inverse = tirx.const(1.0 / count, data.dtype)
    r = [reduction(size, e, f"r{i}") for i, e in enumerate(tail)]

    def deviation(at: Sequence[Any], inner: Sequence[Any]) -> Any:
        return data[(*at, *inner)] - total[tuple(at)] * inverse

    squares = te.compute(
        lead, lambda *at: te.sum(deviation(at, r) * deviation(at, r), axis=r), name="square_sum"
    )

    def body(*at: Any) -> Any:
        row, inner = at[:split], at[split:]
        spread = te.rsqrt(squares[row] * inverse + tirx.const(epsilon, data.dtype))
        return deviation(row, inner) * spread * scale[inner] + shift[inner]

    return te.compute(shape, body, name="layer_norm")
