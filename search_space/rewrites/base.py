"""What a rewrite hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Rewrite:
    """Another way to compute the same function.

    Attributes:
        name: What was done, such as ``im2col``; unique among the alternatives of one function.
        func: A PrimFunc with the same parameters (order, shapes, element types), nothing scheduled.
        tolerance_scale: By how much the result may deviate more than a reordered sum does
            (1: not at all; Winograd needs more).
    """

    name: str
    func: Any
    tolerance_scale: float
