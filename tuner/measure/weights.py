"""Measures a kernel without the stages that only touch weights: a compiled model runs those beforehand.

The operands of a task that are weights are packed when the model is compiled (``tuner/graph/prepack.py``).
What is built for measuring is therefore cut in the same two functions: ``pack`` runs once before the clock
starts, and ``main`` takes the packed buffers in place of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from search_space.tvm_api import IRModule
from search_space.workload import Workload
from tuner.graph.prepack import split_workload

PACK = "pack"
"""Symbol of the function that runs once."""

_T = TypeVar("_T")


class Packing(msgspec.Struct, frozen=True):
    """How the two functions are called.

    Attributes:
        sources: Positions of the task's arguments that ``pack`` reads.
        kept: Positions of the inputs that ``main`` still reads.
        shapes: Shape and element type of each packed buffer.
    """

    sources: tuple[int, ...]
    kept: tuple[int, ...]
    shapes: tuple[tuple[tuple[int, ...], str], ...]

    def pack_arguments(self, arguments: Sequence[_T], panels: Sequence[_T]) -> list[_T]:
        """Return what ``pack`` takes: weights, then packed buffers."""
        return [*(arguments[p] for p in self.sources), *panels]

    def main_arguments(self, arguments: Sequence[_T], panels: Sequence[_T], outputs: int) -> list[_T]:
        """Return what ``main`` takes: inputs, packed buffers, and the task's last ``outputs`` arguments."""
        return [*(arguments[p] for p in self.kept), *panels, *arguments[len(arguments) - outputs :]]


def without_packing(module: Any, workload: Workload, target: Any) -> tuple[Any, Packing | None]:
    """Cut a scheduled module in what runs once and what a call runs.

    Args:
        module: An IRModule whose ``main`` has the workload's parameters.
        workload: What is computed; its constants are weights.
        target: What it is compiled for.

    Returns:
        A module with ``pack`` and ``main`` and how they are called; the module as it is and ``None``
        where no stage touches weights only.
    """
    found = split_workload(module["main"], workload, target)
    if found is None:
        return module, None
    functions = {
        "main": found.compute.with_attr("global_symbol", "main"),
        PACK: found.pack.with_attr("global_symbol", PACK),
    }
    return IRModule(functions), Packing(found.sources, found.kept, found.shapes)
