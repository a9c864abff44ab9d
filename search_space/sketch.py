"""A sketch: the structure of a schedule, with its decisions left open."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from search_space.decisions import DecisionSpace, Rows
from search_space.hardware import Machine
from search_space.nest import Bools, ProgramNests
from search_space.steps import Memory, Step
from search_space.tvm_api import IRModule, Schedule

RARE_ATTEMPTS, RARE_DRAWS = 8, 4096
"""Further draws where none of the first was valid: limits may leave one row in thousands."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Steps over one program, and the space of their decisions.

    Attributes:
        name: Unique among the sketches of a workload; stable while the generator is unchanged.
        func: The program that the steps schedule (the workload's, or an equivalent rewrite).
        rewritten: Whether ``func`` differs from the workload's program.
        steps: What is applied, in order.
        flops: Operations that the workload needs.
        hardware: Limits.
        tolerance_scale: How much larger a rounding error the program may have (1 for the same sums).
        held: Kinds of decisions (the second word of a slot's name) that keep their first value.
    """

    name: str
    func: Any
    rewritten: bool
    steps: tuple[Step, ...]
    flops: float
    hardware: Machine
    tolerance_scale: float = 1.0
    held: tuple[str, ...] = ()
    space: DecisionSpace = field(init=False)

    def __post_init__(self) -> None:
        slots = tuple(
            slot.held() if any(f".{kind}." in slot.name for kind in self.held) else slot
            for step in self.steps
            for slot in step.slots()
        )
        object.__setattr__(self, "space", DecisionSpace(slots))

    def without(self, kind: str) -> Sketch:
        """Return the sketch with one kind of decisions held at their first value, such as ``pack``."""
        return replace(self, held=(*self.held, kind))

    def valid(self, rows: Rows) -> Bools:
        """Mask of the rows that can be built and fit the hardware: [N]."""
        columns = self.space.columns(rows)
        mask = np.ones(len(rows), dtype=bool)
        for step in self.steps:
            mask &= step.valid(columns)
        return mask

    def nests(self, rows: Rows) -> ProgramNests:
        """Describe every stage for every row."""
        columns = self.space.columns(rows)
        stages = tuple(nest for step in self.steps for nest in step.nests(columns))
        workspace = np.zeros(len(rows), np.float32)
        regions = np.zeros(len(rows), np.float32)
        for step in self.steps:
            reserved = getattr(step, "workspace_bytes", None)
            if reserved is not None:
                workspace = workspace + reserved(columns)
        for nest in stages:
            is_shared = nest.workers > 0
            own = is_shared & (nest.workers > 1)
            for loop in range(len(nest.kinds)):
                parallel = nest.parallel[:, loop]
                if parallel.any():
                    own = own | (parallel & ~is_shared & (nest.extents[:, loop] > 1))
            attached = (nest.executions > 1) & is_shared
            regions += own & ~attached & (nest.executions > 0)
        return ProgramNests(stages, workspace, self.flops, regions)

    def schedule(self, row: Rows) -> Schedule:
        """Apply every step for one candidate.

        Args:
            row: [S] decisions.

        Returns:
            The schedule, with its trace.

        Raises:
            tvm.s_tir.ScheduleError: If a primitive refuses.
        """
        rows = np.asarray(row, dtype=np.int32)[None, :]
        self.space.check(rows)
        columns = self.space.columns(rows)
        module = IRModule({"main": self.func.with_attr("global_symbol", "main")})
        sch = Schedule(module, debug_mask="none", error_render_level="fast")
        memory = Memory()
        for step in self.steps:
            step.apply(sch, columns, memory)
        return sch

    def sample(self, rng: np.random.Generator, count: int, attempts: int = 20) -> Rows:
        """Draw valid rows: at most ``count``, fewer only where valid rows are very rare."""
        found: list[Rows] = []
        total = 0
        for _ in range(attempts):
            rows = self.space.sample(rng, count)
            rows = rows[self.valid(rows)]
            found.append(rows)
            total += len(rows)
            if total >= count:
                break
        for _ in range(RARE_ATTEMPTS if not total and count else 0):
            rows = self.space.sample(rng, RARE_DRAWS)
            found.append(rows[self.valid(rows)])
            if len(found[-1]):
                break
        return np.concatenate(found)[:count]
