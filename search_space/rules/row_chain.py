"""What row by row schedules of all kinds of hardware have in common."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from search_space.access import BlockInfo
from search_space.steps import PlainStep


@dataclass(frozen=True, slots=True, eq=False)
class RowChainStep(PlainStep):
    """A chain of blocks that is computed row by row.

    Attributes:
        chain: Blocks in program order; the last one is the output of the chain.
        rows: How many leading axes of every block are row axes.
    """

    chain: tuple[BlockInfo, ...]
    rows: int

    @property
    def last(self) -> BlockInfo:
        """The block that the others are computed for."""
        return self.chain[-1]

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return prod(a.extent for a in self.last.axes[: self.rows])

    @property
    def rows_name(self) -> str:
        """Name of the slot that says how many rows are computed together."""
        return f"{self.last.name}.rows"
