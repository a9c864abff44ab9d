"""Layouts in which an axis of a result is two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.rewrites.emit import Layout
from search_space.rewrites.program import Axis, Stage
from search_space.tvm_api import tirx


def split_layout(stage: Stage, factors: Sequence[tuple[Axis, int]]) -> Layout:
    """Return the layout in which some axes h are (h // f, h % f).

    Args:
        stage: Whose result.
        factors: Output axes with their inner extents.

    Returns:
        The layout, one to one if every factor divides; else positions are rounded up.
    """
    shape: list[int] = []
    names: list[str] = []
    inner: list[int | None] = []
    for axis in stage.axes:
        factor = next((f for a, f in factors if a is axis), None)
        inner.append(factor)
        if factor is None:
            shape.append(axis.extent)
            names.append(axis.name)
        else:
            shape += [-(-axis.extent // factor), factor]
            names += [axis.name, f"{axis.name}_in"]

    def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
        result: list[Any] = []
        for i, factor in zip(index, inner, strict=True):
            result += [i] if factor is None else [tirx.floordiv(i, factor), tirx.floormod(i, factor)]
        return tuple(result)

    def to_old(index: tuple[Any, ...]) -> tuple[Any, ...]:
        rest = list(index)
        result: list[Any] = []
        for factor in inner:
            result.append(rest.pop(0) if factor is None else rest.pop(0) * factor + rest.pop(0))
        return tuple(result)

    divides = all(a.extent % f == 0 for a, f in factors)
    return Layout(tuple(shape), tuple(names), to_new, to_old if divides else None)
