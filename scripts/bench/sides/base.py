"""What a side offers to the process that times it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.bench.problem import Array


@dataclass(frozen=True, slots=True)
class Variant:
    """One way in which a side runs an operator.

    Attributes:
        name: Such as a layout.
        call: Runs the operator once; inputs and outputs are bound already.
        output: Returns the result of the last call in our own layout.
    """

    name: str
    call: Callable[[], Any]
    output: Callable[[], Array]


class NoKernel(Exception):
    """A side cannot run the operator; the message says why."""
