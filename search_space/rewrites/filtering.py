"""Where the tiles of a filtered dimension lie: strides, dilations and long filters as sums of short ones.

A window ``x[s*h + d*r + o]`` with ``k`` taps is brought to stride 1 and dilation 1. With g = gcd(s, d):

* ``s/g`` parts: taps ``r = s/g * j + p`` of equal remainder p read positions of equal remainder, so the
  filter is a sum of s/g filters of stride 1 (its polyphase form);
* ``d/g`` phases: results ``h = d/g * h' + f`` of equal remainder f see the window densely;
* blocks: what is longer than the transform's filter is a sum of filters that lie one tile apart each,
  so that they read the same transformed tiles.

Position ``a`` of tile ``t`` is ``x[step * (edge*t + a) + phase_step*f + part_step*p + offset]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

from search_space.rewrites.affine import Dim
from search_space.rewrites.program import Axis
from search_space.tvm_api import tirx

LONGEST = 4
"""Longest filter that is transformed whole; more points than seven cost too much accuracy."""


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """One dimension of the data, cut into tiles.

    Attributes:
        spatial: Output iterator.
        tap: Reduction iterator.
        edge: Results along the edge of a tile.
        taps: Taps of the transform's filter.
        phases: Remainders of the output position that are computed apart.
        parts: Filters that interleave.
        blocks: Filters that follow one another, a tile apart.
        step: Distance of neighbouring positions of a tile in the data.
        phase_step: Distance from one phase to the next.
        part_step: Distance from one part to the next.
        offset: Position of the first tile; negative where the data is padded.
    """

    spatial: Axis
    tap: Axis
    edge: int
    taps: int
    phases: int
    parts: int
    blocks: int
    step: int
    phase_step: int
    part_step: int
    offset: int

    @property
    def size(self) -> int:
        """Positions along the edge of a tile of data."""
        return self.edge + self.taps - 1

    @property
    def tiles(self) -> int:
        """Tiles of results in each phase."""
        return -(-self.spatial.extent // (self.edge * self.phases))

    @property
    def data_tiles(self) -> int:
        """Tiles of data in each phase."""
        return self.tiles + self.blocks - 1

    @property
    def read(self) -> tuple[int, int]:
        """Smallest and largest position of the data that is read."""
        last = self.step * (self.edge * (self.data_tiles - 1) + self.size - 1)
        moved = self.phase_step * (self.phases - 1) + self.part_step * (self.parts - 1)
        return self.offset, self.offset + last + moved

    @property
    def padded_taps(self) -> int:
        """Taps with the zeros that make all parts and blocks equally long."""
        return self.parts * self.blocks * self.taps

    def position(self, tile: Any, phase: Any, part: Any, inside: Any) -> Any:
        """Return the position of an element of a tile in the data."""
        found = (tile * self.edge + inside) * self.step
        found = found + phase * self.phase_step if self.phases > 1 else found
        found = found + part * self.part_step if self.parts > 1 else found
        return found + self.offset

    def tap_at(self, part: Any, block: Any, inside: Any) -> Any:
        """Return which tap of the whole filter one of a short filter is."""
        found = block * self.taps + inside if self.blocks > 1 else inside
        return found * self.parts + part if self.parts > 1 else found


def filtered(dim: Dim, edge: int) -> Filtered | None:
    """Cut a window into tiles of ``edge`` results.

    Args:
        dim: How the data is indexed.
        edge: Results along the edge of a tile.

    Returns:
        The cut, or None if the dimension is no window, or stride and dilation both remain.
    """
    if dim.spatial is None or dim.tap is None or dim.tap.extent < 2 or dim.divisor != 1:
        return None
    if dim.stride < 1 or dim.dilation < 1:
        return None
    common = gcd(dim.stride, dim.dilation)
    parts, phases = dim.stride // common, dim.dilation // common
    if parts > 1 and phases > 1:
        return None
    taps = -(-dim.tap.extent // parts)
    if taps < 2:
        return None
    blocks = 1
    if taps > LONGEST:
        taps, blocks = edge, -(-taps // edge)
    return Filtered(
        spatial=dim.spatial,
        tap=dim.tap,
        edge=edge,
        taps=taps,
        phases=phases,
        parts=parts,
        blocks=blocks,
        step=dim.stride if parts > 1 else dim.dilation,
        phase_step=common,
        part_step=common,
        offset=dim.offset,
    )


def nested(position: Any, factors: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the index of a row-major position whose first dimension is unbounded."""
    index: list[Any] = []
    for factor in reversed(factors):
        index.append(tirx.floormod(position, factor))
        position = tirx.floordiv(position, factor)
    return (position, *reversed(index))
