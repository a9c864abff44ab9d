"""Give a parameter of a PrimFunc its shape back after a computation was written on another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from search_space.tvm_api import PrimFunc, tirx, tvm, tvm_ffi


def reindex_parameter(
    func: Any,
    position: int,
    shape: Sequence[int],
    to_old: Callable[[tuple[Any, ...]], tuple[Any, ...]],
    name: str | None = None,
) -> Any:
    """Replace a parameter by one of another shape with the same number of elements.

    before::  def f(A, C: Buffer((M, N))):       C[m, n] = ...
    after::   def f(A, C: Buffer((H, W, N))):    C[m // W, m % W, n] = ...

    Args:
        func: The function; its blocks access single elements.
        position: Which parameter.
        shape: The new shape.
        to_old: Index into the present shape to index into the new one.
        name: New name of the parameter, if it shall change.

    Returns:
        The function with that parameter replaced.
    """
    old = func.params[position]
    new = tirx.decl_buffer(list(shape), str(old.dtype), name=name or str(old.name))

    def load(node: Any) -> Any:
        return tirx.BufferLoad(new, list(to_old(tuple(node.indices)))) if node.source.same_as(old) else node

    def store(node: Any) -> Any:
        if not node.buffer.same_as(old):
            return node
        return tirx.BufferStore(new, node.value, list(to_old(tuple(node.indices))))

    def region(node: Any) -> Any:
        if not node.source.same_as(old):
            return node
        index = to_old(tuple(r.min for r in node.region))
        return tirx.BufferRegion(new, [tvm.ir.Range.from_min_extent(i, 1) for i in index])

    body = tvm_ffi.structural_map(
        func.body,
        [(tvm.ir.TensorLoad, load), (tirx.BufferStore, store), (tvm.ir.expr.TensorRegion, region)],
    )
    params = [new if p.same_as(old) else p for p in func.params]
    return PrimFunc(params, body, func.ret_type, func.attrs)
