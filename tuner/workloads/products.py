"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.tvm_api import te
from tuner.workloads.extents import extent_like, reduction, shape_of


def batch_matmul(left: Any, right: Any, out_dtype: str = "float32") -> Any:
    """Multiply matrices: [B, N, K] x [B, K, M] -> [B, N, M]."""
    size = extent_like(left)
    batch, rows, inner = shape_of(left)
    columns = int(right.shape[2])
    k = reduction(size, inner, "k")
    return te.compute(
        tuple(map(size, (batch, rows, columns))),
        lambda b, i, j: te.sum(left[b, i, k].astype(out_dtype) * right[b, k, j].astype(out_dtype), axis=[k]),
        name="batch_matmul",
    )


def matmul(left: Any, right: Any, out_dtype: str = "float32") -> Any:
    """Multiply two matrices: [N, K] x [K, M] -> [N, M]."""
    size = extent_like(left)
    rows, inner = shape_of(left)
    columns = int(right.shape[1])
    k = reduction(size, inner, "k")
    return te.compute(
        tuple(map(size, (rows, columns))),
        lambda i, j: te.sum(left[i, k].astype(out_dtype) * right[k, j].astype(out_dtype), axis=[k]),
        name="matmul",
    )


def attention_scores(query: Any, value: Any, out_dtype: str = "float32") -> Any:
    """Multiply heads after moving them in front (Ansor's TBG).

    Args:
        query: [B, S, heads, D].
        value: [B, S, heads, D].
        out_dtype: Element type of products, sums and result.

    Returns:
        [B, heads, S, S].
    """
    size = extent_like(query)
    batch, length, heads, width = shape_of(query)
    left = te.compute(
        tuple(map(size, (batch, heads, length, width))),
        lambda b, h, s, d: query[b, s, h, d],
        name="query_heads",
    )
    right = te.compute(
        (batch, heads, width, length), lambda b, h, d, s: value[b, s, h, d], name="value_heads"
    )
    k = reduction(size, width, "k")
    return te.compute(
        tuple(map(size, (batch, heads, length, length))),
        lambda b, h, i, j: te.sum(
            left[b, h, i, k].astype(out_dtype) * right[b, h, k, j].astype(out_dtype), axis=[k]
        ),
        name="scores",
    )


def permuted_matmul(
    left: Any,
    right: Any,
    left_order: Sequence[int],
    right_order: Sequence[int],
    out_order: Sequence[int],
    out_dtype: str = "float32",
) -> Any:
    """Multiply matrices that lie in memory in another order than the product counts them.

    Means ``permute(matmul(permute(left, left_order), permute(right, right_order)), out_order)`` without
    moving anything: attention heads are read and written where they are.

    Args:
        left: A tensor whose permutation is [*batch, N, K].
        right: A tensor whose permutation is [*batch, K, M].
        left_order: Axes of ``left`` in the order of the product.
        right_order: Axes of ``right`` in the order of the product.
        out_order: Axes of the product in the order of the result.
        out_dtype: Element type of products, sums and result.

    Returns:
        [*batch, N, M] with its axes in ``out_order``.
    """
    size = extent_like(left)
    left_shape, right_shape = shape_of(left), shape_of(right)
    rows = [left_shape[axis] for axis in left_order]
    columns = [right_shape[axis] for axis in right_order]
    product = [*rows[:-1], columns[-1]]
    k = reduction(size, rows[-1], "k")

    def fetch(tensor: Any, order: Sequence[int], index: Sequence[Any]) -> Any:
        at: list[Any] = [None] * len(order)
        for axis, value in zip(order, index, strict=True):
            at[axis] = value
        return tensor[tuple(at)].astype(out_dtype)

    def body(*result: Any) -> Any:
        logical: list[Any] = [None] * len(out_order)
        for value, axis in zip(result, out_order, strict=True):
            logical[axis] = value
        *batch, i, j = logical
        return te.sum(
            fetch(left, left_order, [*batch, i, k]) * fetch(right, right_order, [*batch, k, j]), axis=[k]
        )

    return te.compute(tuple(size(product[axis]) for axis in out_order), body, name="matmul")
