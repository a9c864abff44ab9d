"""Lets matrix products read and write permuted tensors where they are."""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import te, tvm
from tuner.graph.rewriter import Rewriter, array_of, name_of, shape_of
from tuner.graph.rules.movement import axes_of
from tuner.workloads.products import permuted_matmul

relax = tvm.relax


def absorb_output_permutation(walk: Rewriter, call: Any) -> Any:
    """Rule: ``permute(matmul(x, y))`` becomes one function, permuted operands included."""
    if name_of(call) != "relax.permute_dims" or not walk.used_once(call.args[0]):
        return None
    product = walk.definition(call.args[0], "relax.matmul")
    return None if product is None else _emit(walk, product, call)


def absorb_input_permutations(walk: Rewriter, call: Any) -> Any:
    """Rule: ``matmul(permute(x), permute(y))`` becomes one function."""
    if name_of(call) != "relax.matmul":
        return None
    if all(walk.definition(argument, "relax.permute_dims") is None for argument in call.args):
        return None
    return _emit(walk, call, None)


def _emit(walk: Rewriter, product: Any, permutation: Any) -> Any:
    shapes = [shape_of(argument) for argument in product.args]
    rank = len(shapes[0])
    if len(shapes[1]) != rank or rank < 3 or shapes[0][:-2] != shapes[1][:-2]:
        return None
    if any(array_of(argument) is not None for argument in product.args):
        return None
    sources: list[Any] = []
    orders: list[list[int]] = []
    for argument in product.args:
        inner = walk.definition(argument, "relax.permute_dims")
        sources.append(argument if inner is None else inner.args[0])
        orders.append(list(range(rank)) if inner is None else axes_of(inner))
    out_order = list(range(rank)) if permutation is None else axes_of(permutation)
    result = product if permutation is None else permutation
    placeholders = [
        te.placeholder(tuple(s.ty.shape.values), dtype=str(s.ty.dtype), name=name)
        for s, name in zip(sources, ("left", "right"), strict=True)
    ]
    out = permuted_matmul(
        placeholders[0], placeholders[1], orders[0], orders[1], out_order, str(result.ty.dtype)
    )
    return walk.call_function(te.create_prim_func([*placeholders, out]), "matmul", sources, result.ty)
