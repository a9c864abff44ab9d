"""Cover an extent that does not divide by equal tiles that overlap.

before (509 columns have no vector width as a divisor, 127 rows no register tile)::

    for m, n < 509, k:       out[m, n] += a[m, k] * b[k, n]

after (two tiles of 256 columns, 253 apart; three columns are computed twice)::

    for m, h < 2, u < 256, k:  y[m, h, u] += a[m, k] * b[k, 253*h + u]
    for m, h < 2, u < 256:     out[m, 253*h + u] = y[m, h, u]

Nothing is padded, predicated or copied: every index stays affine, every vector is full, and the
elements that lie in two tiles get the same value twice. An element-wise epilogue takes the place of
the last stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_space.rewrites.emit import Emitter, Layout, combine, emit, reduce_axes
from search_space.rewrites.program import Program, Stage
from search_space.tvm_api import tvm


@dataclass(frozen=True, slots=True)
class Cover:
    """Equal, evenly spaced tiles that cover an extent.

    Attributes:
        extent: What is covered.
        tiles: How many tiles.
        size: Elements of one tile.
    """

    extent: int
    tiles: int
    size: int

    def __post_init__(self) -> None:
        if self.tiles < 2 or not self.size < self.extent <= self.tiles * self.size:
            raise ValueError(f"{self.tiles} tiles of {self.size} do not overlap on {self.extent} elements")
        if (self.extent - self.size) % (self.tiles - 1):
            raise ValueError(f"{self.tiles} tiles of {self.size} are not evenly spaced on {self.extent}")

    def __str__(self) -> str:
        return f"{self.tiles}x{self.size}"

    @property
    def step(self) -> int:
        """Distance between the starts of neighbouring tiles."""
        return (self.extent - self.size) // (self.tiles - 1)

    @property
    def computed(self) -> int:
        """Elements that are computed, the repeated ones counted each time."""
        return self.tiles * self.size


def covers_of(extent: int, multiple: int, waste: float) -> list[Cover]:
    """List the covers of an extent by tiles that a multiple divides.

    Args:
        extent: What to cover.
        multiple: What the size of a tile shall be divisible by.
        waste: Largest share of elements that may be computed beyond the extent.

    Returns:
        Covers; those that compute least come first, among equal ones those with the larger tiles.
    """
    found = []
    for size in range(multiple, extent, multiple):
        tiles = -(-extent // size)
        while tiles * size <= extent * (1 + waste):
            if (extent - size) % (tiles - 1) == 0:
                found.append(Cover(extent, tiles, size))
                break
            tiles += 1
    return sorted(found, key=lambda c: (c.computed, -c.size))


Chooser = Callable[[tuple[int, ...], int], Mapping[int, Cover]]
"""Chooses covers: from the extents of a result and the position of its rows to covers by position."""


def overlap(program: Program, covers: Mapping[int, Cover]) -> Any:
    """Return the PrimFunc in which the anchor covers some of its output axes by overlapping tiles.

    Args:
        program: The program.
        covers: Position of an output axis of its anchor to a cover of its extent.

    Raises:
        ValueError: If the program has no anchor or a cover is not of its axis.
    """
    stage = program.anchor()
    if stage is None:
        raise ValueError("overlap: the program has no sum to rewrite")
    layout = covered(plain_layout(stage), covers)
    return emit(program, [(stage, lambda e: (_compute(e, stage, layout), layout))])


def plain_layout(stage: Stage) -> Layout:
    """Return the layout that a stage has already."""
    return Layout(stage.shape, tuple(a.name for a in stage.axes), lambda index: index, lambda index: index)


def covered(layout: Layout, covers: Mapping[int, Cover]) -> Layout:
    """Return a layout with some of its dimensions taken apart into (tile, place in the tile).

    Args:
        layout: A layout that can be inverted.
        covers: Position of a dimension to the cover of its extent.

    Raises:
        ValueError: If a cover is not of its dimension.
    """
    per_axis = [covers.get(d) for d in range(len(layout.shape))]
    shape: list[int] = []
    names: list[str] = []
    for name, extent, cover in zip(layout.names, layout.shape, per_axis, strict=True):
        if cover is not None and cover.extent != extent:
            raise ValueError(f"a cover of {cover.extent} elements does not fit axis {name} of {extent}")
        shape += [extent] if cover is None else [cover.tiles, cover.size]
        names += [name] if cover is None else [f"{name}_tile", name]
    first = layout.to_old
    assert first is not None, "the layout has elements that the original lacks"

    def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
        result: list[Any] = []
        for i, cover in zip(layout.to_new(index), per_axis, strict=True):
            if cover is None:
                result.append(i)
            else:
                tile = tvm.tirx.min(tvm.tirx.floordiv(i, cover.step), cover.tiles - 1)
                result += [tile, i - tile * cover.step]
        return tuple(result)

    def uncovered(index: tuple[Any, ...]) -> tuple[Any, ...]:
        rest = list(index)
        return tuple(
            rest.pop(0) if cover is None else rest.pop(0) * cover.step + rest.pop(0) for cover in per_axis
        )

    return Layout(
        tuple(shape),
        tuple(names),
        to_new,
        lambda index: first(uncovered(index)),
        is_exact=not covers,
        uncovered=uncovered,
    )


def label_of(layout: Layout, covers: Mapping[int, Cover]) -> str:
    """Name covers by the axes of the layout that they take apart: ``j.2x256``."""
    return "-".join(f"{layout.names[d]}.{cover}" for d, cover in sorted(covers.items()))


def _compute(emitter: Emitter, stage: Stage, layout: Layout) -> Any:
    reduction = reduce_axes(stage.reduction)
    assert layout.to_old is not None
    to_old = layout.to_old

    def body(*index: Any) -> Any:
        bound = [(a.var, i) for a, i in zip(stage.axes, to_old(index), strict=True)]
        bound += [(a.var, r.var) for a, r in zip(stage.reduction, reduction, strict=True)]
        return combine(stage.combiner or "sum", emitter.convert(stage.value, bound), reduction)

    return emitter.compute(layout.shape, body, stage.name, layout.names)
