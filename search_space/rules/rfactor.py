"""Reduction factorisation (Ansor rule 6): partial results over vector lanes and over threads.

before::

    for i, k: S[i] += A[i, k]

after (lanes n; the tree adds the lanes up four at a time)::

    for i: for k0: vector k1: S.rf[i, k1] += A[i, k0*n + k1]
    for i: vector k1: S.rf2[i, k1] = S.rf[i, k1] + S.rf[i, k1 + n/4] + S.rf[i, k1 + n/2] + ...
    for i, k1: S[i] += S.rf2[i, k1]

For a reduction without spatial parallelism the outermost part is factored first, over tasks::

    parallel p: (the above for one p) ; for p: S += S.task[p]
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice, divisors
from search_space.hardware import Hardware
from search_space.nest import Access, Bools, LoopNest
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule, block_realize, walk

TREE_RADIX = 4


def reduction_lanes(extent: int, block: BlockInfo, hardware: Hardware) -> tuple[int, ...]:
    """Return how many partial results a reduction of an extent may keep: 1, or 1 to 8 vectors."""
    widest = hardware.lanes(max(u.element_bytes for u in block.reads))
    while widest > 1 and extent % widest:
        widest //= 2
    return tuple(sorted({1, *(widest * u for u in (1, 2, 4, 8) if extent % (widest * u) == 0)}))


def factor_lanes(sch: Schedule, block: Any, loop: Any, lanes: int) -> list[Any]:
    """Keep ``lanes`` partial results of a reduction loop and add them up by a tree.

    Args:
        sch: The schedule.
        block: The reduction block; it becomes the last, short sum.
        loop: Its reduction loop.
        lanes: Number of partial results; it must divide the loop.

    Returns:
        The blocks made, widest first; the first one does the work.
    """
    made: list[Any] = []
    # The lanes become the last dimension: a vector is contiguous whatever rows lie beside it.
    last = len(sch.get(block).writes[0].source.shape)
    _, inner = sch.split(loop, [None, lanes])
    made.append(sch.rfactor(inner, last))
    width = lanes
    while width > TREE_RADIX and width % TREE_RADIX == 0:
        width //= TREE_RADIX
        rest = lane_loop(sch, block)
        _, inner = sch.split(rest, [None, width])
        made.append(sch.rfactor(inner, last))
    return made


def lane_loop(sch: Schedule, block: Any) -> Any:
    """Return the reduction loop of a factored block that runs over its partial results."""
    loops = list(sch.get_loops(block))
    return next(
        loop for loop, role in zip(loops, loop_roles(sch, block, loops), strict=True) if role == "reduction"
    )


def vectorise_partial(sch: Schedule, block: Any, skip: int, lanes: int) -> None:
    """Bring the lanes of a partial-result block innermost, vectorise them, keep them in registers.

    Args:
        sch: The schedule.
        block: A block made by :func:`factor_lanes`, attached below ``skip`` loops or at the root.
        skip: Number of loops above its own.
        lanes: Elements of one vector register.
    """
    loops = list(sch.get_loops(block))[skip:]
    roles = loop_roles(sch, block, loops)
    lane = next(loop for loop, role in zip(loops, roles, strict=True) if role == "lane")
    others = [loop for loop, role in zip(loops, roles, strict=True) if role == "spatial"]
    reductions = [loop for loop, role in zip(loops, roles, strict=True) if role == "reduction"]
    sch.reorder(*others, *reductions, lane)
    extent = int(sch.get(lane).extent)
    width = lanes
    while width > 1 and extent % width:
        width //= 2
    if width > 1:
        if extent > width:
            high, low = sch.split(lane, [None, width])
            sch.unroll(high)
            sch.vectorize(low)
        else:
            sch.vectorize(lane)
    if reductions:
        sch.decompose_reduction(block, reductions[0])


def loop_roles(sch: Schedule, block: Any, loops: list[Any]) -> list[str]:
    """Tell apart, for a factored block: ``lane`` (its first iterator), ``spatial``, ``reduction``."""
    realize = block_realize(sch, block)
    roles: list[str] = []
    for loop in loops:
        variable = sch.get(loop).loop_var
        role = "spatial"
        for position, (iterator, value) in enumerate(
            zip(realize.block.iter_vars, realize.iter_values, strict=True)
        ):
            if _uses(value, variable):
                role = "reduction" if int(iterator.iter_type) == 2 else "lane" if position == 0 else "spatial"
                break
        roles.append(role)
    return roles


def _uses(value: Any, variable: Any) -> bool:
    found: list[bool] = []
    if hasattr(value, "ty"):
        walk(value, lambda node: found.append(True) if node.same_as(variable) else None)
    return bool(found)


@dataclass(frozen=True, slots=True, eq=False)
class FactorStep(PlainStep):
    """Schedule one reduction that has too few outputs to share: factor it over tasks and lanes."""

    block: BlockInfo
    hardware: Hardware

    @property
    def _extent(self) -> int:
        return self.block.reduction_size

    def slots(self) -> tuple[Slot, ...]:
        """Own the number of tasks and the number of lanes."""
        cores = self.hardware.cores
        tasks = [d for d in divisors(self._extent) if d <= 16 * cores]
        lanes = reduction_lanes(self._extent, self.block, self.hardware)
        return (choice(f"{self.block.name}.tasks", tuple(tasks)), choice(f"{self.block.name}.lanes", lanes))

    def valid(self, columns: Columns) -> Bools:
        """Accept where tasks and lanes divide the reduction together."""
        tasks = columns.choice(f"{self.block.name}.tasks")
        lanes = columns.choice(f"{self.block.name}.lanes")
        return np.asarray(self._extent % (tasks * lanes) == 0)

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Factor over tasks, then over lanes within a task."""
        tasks = int(columns.choice(f"{self.block.name}.tasks")[0])
        lanes = int(columns.choice(f"{self.block.name}.lanes")[0])
        block = sch.get_sblock(self.block.name)
        loops = list(sch.get_loops(block))
        reductions = [loops[i] for i in self.block.reduction]
        fused = sch.fuse(*reductions) if len(reductions) > 1 else reductions[0]
        work = block
        if tasks > 1:
            task, fused = sch.split(fused, [tasks, None])
            work = sch.rfactor(task, 0)
            loops = list(sch.get_loops(work))
            roles = loop_roles(sch, work, loops)
            task = next(loop for loop, role in zip(loops, roles, strict=True) if role == "lane")
            fused = next(loop for loop, role in zip(loops, roles, strict=True) if role == "reduction")
            sch.reorder(task, *(loop for loop in loops if not loop.same_as(task)))
        made = factor_lanes(sch, work, fused, lanes) if lanes > 1 else []
        width = self.hardware.lanes(self.block.writes[0].element_bytes)
        skip = 0
        if tasks > 1:
            task = next(iter(sch.get_loops(work)))
            sch.parallel(task)
            skip = 1
            for partial in reversed(made):
                sch.compute_at(partial, task, preserve_unit_loops=True)
        for partial in made:
            vectorise_partial(sch, partial, skip, width)

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the fused reduction: outputs, tasks, steps of one task, lanes."""
        tasks = columns.choice(f"{self.block.name}.tasks").astype(np.float64)
        lanes = columns.choice(f"{self.block.name}.lanes").astype(np.float64)
        ones = np.ones(columns.size)
        steps = self._extent / (tasks * lanes)
        extents = np.stack([ones * self.block.spatial_size, tasks, steps, lanes], axis=1)
        # One output's terms lie in one piece, as far as the traffic is concerned.
        strides = np.stack([ones * self._extent, steps * lanes, lanes, ones], axis=1)[:, None, :]
        accesses = [
            Access(
                use.name,
                use.element_bytes,
                False,
                False,
                np.array([[float(prod(use.shape))]]),
                np.minimum(strides, float(prod(use.shape))),
            )
            for use in self.block.reads
        ]
        result = self.block.writes[0]
        moves = np.zeros((1, 1, 4))
        moves[0, 0, 0] = 1
        accesses.insert(
            0,
            Access(
                result.name, result.element_bytes, True, True, np.array([[float(prod(result.shape))]]), moves
            ),
        )
        vector = np.zeros(extents.shape, dtype=bool)
        vector[:, 3] = lanes > 1
        parallel = np.zeros(extents.shape, dtype=bool)
        parallel[:, 1] = tasks > 1
        return (
            LoopNest(
                stage="factored",
                extents=extents,
                kinds=np.array([0, 1, 1, 1], dtype=np.int8),
                parallel=parallel,
                unrolled=np.zeros(extents.shape, dtype=bool),
                vectorised=vector,
                accesses=tuple(accesses),
                flops=max(self.block.flops, 1.0),
                transcendentals=self.block.transcendentals,
                executions=ones,
                workers=np.zeros(columns.size),
                predicated=np.zeros(columns.size),
            ),
        )

    def workspace_bytes(self, columns: Columns) -> np.ndarray:
        """Bytes of the partial results."""
        tasks = columns.choice(f"{self.block.name}.tasks")
        lanes = columns.choice(f"{self.block.name}.lanes")
        outputs = prod(self.block.writes[0].shape) * self.block.writes[0].element_bytes
        return np.asarray((tasks + tasks * lanes) * float(outputs))
