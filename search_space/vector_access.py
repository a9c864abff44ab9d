"""How many elements of a buffer one aligned vector access may cover."""

from __future__ import annotations

from math import gcd
from typing import Any

from search_space.tvm_api import tirx, tvm, tvm_ffi, walk_types

MAX_WIDTH = 16
"""Elements of the widest vector: 16 bytes of int8."""


def vector_width(indices: list[Any], shape: tuple[int, ...], variables: list[Any], extents: list[int]) -> int:
    """Return how many steps of the last iterator one access may cover.

    Args:
        indices: The buffer's index expressions.
        shape: The buffer's extents.
        variables: Iterators of the block.
        extents: Their trip counts.

    Returns:
        The largest power of two up to :data:`MAX_WIDTH` such that every run of so many steps, counted from
        zero, touches neighbours that start at a multiple of it, or one element only; 1 if there is none.
    """
    if not variables or not shape:
        return MAX_WIDTH
    last = variables[-1]
    if not any(_mentions(index, last) for index in indices):
        return MAX_WIDTH
    width = gcd(MAX_WIDTH, gcd(shape[-1], extents[-1]))
    if indices[-1].same_as(last) and not any(_mentions(index, last) for index in indices[:-1]):
        return width
    while width > 1 and not _is_run(indices, variables, extents, width):
        width //= 2
    return width


def _mentions(index: Any, variable: Any) -> bool:
    found: list[bool] = []

    def visit(node: Any) -> None:
        if node.same_as(variable):
            found.append(True)

    if hasattr(index, "ty"):
        walk_types(index, [(tvm.ir.Var, visit)])
    return bool(found)


def _is_run(indices: list[Any], variables: list[Any], extents: list[int], width: int) -> bool:
    """Prove it: with the last iterator as ``width * outer + lane`` only the last index has the lane."""
    last = variables[-1]
    dtype = str(last.ty)
    outer, lane = tirx.Var("outer", dtype), tirx.Var("lane", dtype)
    analyzer = tvm.sym.Analyzer()
    for variable, extent in zip(variables[:-1], extents[:-1], strict=True):
        analyzer.bind(variable, tvm.ir.Range(0, extent))
    analyzer.bind(outer, tvm.ir.Range(0, max(1, extents[-1] // width)))
    analyzer.bind(lane, tvm.ir.Range(0, width))

    def split(node: Any) -> Any:
        return outer * width + lane if node.same_as(last) else node

    parts = [tvm_ffi.structural_map(i, (tvm.ir.Var, split)) if hasattr(i, "ty") else i for i in indices]
    if any(_mentions(analyzer.simplify(part), lane) for part in parts[:-1] if hasattr(part, "ty")):
        return False
    start = analyzer.simplify(parts[-1] - lane)
    if _mentions(start, lane):
        return False
    modular = analyzer.modular_set(start)
    return int(modular.coeff) % width == 0 and int(modular.base) % width == 0
