"""A sketch rule in one short file: transpositions in square blocks that fit the first cache level.

before::

    for i, j: D[i, j] = A[j, i]

after::

    parallel i0: for j0, i1, j1: D[...] = A[...]        # i1 x j1 is one block
"""

from dataclasses import dataclass

from search_space.access import BlockInfo
from search_space.decisions import choice, divisors
from search_space.generate import SketchState
from search_space.hardware import Hardware
from search_space.nest import LoopNest
from search_space.rules.elementwise import spatial_nest
from search_space.rules.inline import is_injective
from search_space.steps import PlainStep


@dataclass(frozen=True, slots=True, eq=False)
class BlockedTransposeStep(PlainStep):
    """Run the last two loops that a block is read and written along in blocks of rows x columns."""

    block: BlockInfo
    rows: int
    hardware: Hardware

    def slots(self):
        """Own the edges of a block: both must divide, so every block is whole."""
        found = []
        for name, axis in (("rows", self.rows), ("columns", len(self.block.axes) - 1)):
            edges = tuple(d for d in divisors(self.block.axes[axis].extent) if d <= 128)
            found.append(choice(f"{self.block.name}.{name}", edges))
        return tuple(found)

    def apply(self, sch, columns, memory):
        """Split both loops, bring the blocks inside, share the rest among threads."""
        loops = list(sch.get_loops(sch.get_sblock(self.block.name)))
        edges = [int(columns.choice(f"{self.block.name}.{name}")[0]) for name in ("rows", "columns")]
        row_blocks, row = sch.split(loops[self.rows], [None, edges[0]])
        column_blocks, column = sch.split(loops[-1], [None, edges[1]])
        outer = [*loops[: self.rows], row_blocks, *loops[self.rows + 1 : -1], column_blocks]
        sch.reorder(*outer, row, column)
        shared = sch.fuse(*outer) if len(outer) > 1 else outer[0]
        if int(sch.get(shared).extent) > 1:
            sch.parallel(shared)

    def nests(self, columns) -> tuple[LoopNest, ...]:
        """Describe the loops to the cost model; order matters less here than who shares them."""
        ones = columns.choice(f"{self.block.name}.rows") * 0.0 + 1.0
        blocks = self.block.axes[self.rows].extent / columns.choice(f"{self.block.name}.rows")
        return (spatial_nest(self.block, ones, ones, blocks),)


def blocked_transpose(state: SketchState, block: BlockInfo):
    """Take a block that is read along another axis than it is written along."""
    last = len(block.axes) - 1
    if not is_injective(block) or last < 1 or len(block.reads) != 1:
        return ()
    along = [axis for axis in range(last) if block.reads[0].last_coefficient(axis) == 1]
    if block.writes[0].last_coefficient(last) != 1 or len(along) != 1:
        return ()
    step = BlockedTransposeStep(block, along[0], state.hardware)
    return (state.scheduled((block.name,), (step,)),)


RULES = (blocked_transpose,)
