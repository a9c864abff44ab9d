"""Keeps the integer type of a tensor's extents in what is computed from it.

Named operators count in 32 bits, whole models in 64; mixing them litters the indices with casts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search_space.tvm_api import te, tirx

Extent = Callable[[int], Any]


def extent_like(tensor: Any) -> Extent:
    """Return a function that turns a count into an extent of the tensor's integer type."""
    kinds = {str(extent.ty) for extent in tensor.shape if hasattr(extent, "ty")}
    if any("64" in kind for kind in kinds):
        return lambda count: tirx.IntImm("int64", count)
    return int


def reduction(extent: Extent, count: int, name: str) -> Any:
    """Make a reduction axis over ``range(count)``."""
    return te.reduce_axis((extent(0), extent(count)), name=name)


def shape_of(tensor: Any) -> list[int]:
    """Return the extents as plain numbers."""
    return [int(extent) for extent in tensor.shape]
