"""What a sketch is made of: steps that own decisions, describe loops and issue TVM primitives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from search_space.decisions import Columns, Slot
from search_space.nest import Bools, Floats, LoopNest
from search_space.tvm_api import Schedule


@dataclass(slots=True)
class Memory:
    """What steps of one application leave for later steps.

    Attributes:
        loops: Block name to level name to loop variables, outer to inner.
        blocks: Role name to block variable, for blocks that steps create.
    """

    loops: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    blocks: dict[str, Any] = field(default_factory=dict)


class Step(Protocol):
    """One part of a sketch.

    A step is immutable. ``apply`` and the numeric methods must agree: ``nests`` describes the loops
    that ``apply`` makes for the same decisions, and ``valid`` is true only where ``apply`` succeeds.
    """

    @property
    def tolerance_scale(self) -> float:
        """How much larger rounding errors are than those of another order of summation (1: not at all)."""
        ...

    def slots(self) -> tuple[Slot, ...]:
        """Return the decisions that this step owns."""
        ...

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Issue the primitives for the one candidate of ``columns``."""
        ...

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the stages that this step adds, for all candidates."""
        ...

    def valid(self, columns: Columns) -> Bools:
        """Mask of the candidates that this step can apply and the hardware can hold: [N]."""
        ...


class PlainStep:
    """A step without decisions, stages or limits: the base of structural steps."""

    __slots__ = ()

    @property
    def tolerance_scale(self) -> float:
        """Compute what the program says, in its types."""
        return 1.0

    def slots(self) -> tuple[Slot, ...]:
        """Own no decision."""
        return ()

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Add no stage."""
        return ()

    def valid(self, columns: Columns) -> Bools:
        """Accept every candidate."""
        return np.ones(columns.size, dtype=bool)

    def workspace_bytes(self, columns: Columns) -> Floats:
        """Allocate nothing."""
        return np.zeros(columns.size)
