"""Prefetching for rows: while one row is computed on, the next one comes from memory.

before::

    for i:
      for j: M = max(M, x[i, j])          # waits for memory
      for j: P[j] = exp(x[i, j] - M)      # memory has nothing to do
      for j: D[i, j] = P[j] * R           # waits for the lines of D, which stores read first

after::

    for i:
      for j: M = max(M, x[i, j])
      for j:
        prefetch x[i + 1, j], D[i, j]     # D for writing
        P[j] = exp(x[i, j] - M)
      for j: D[i, j] = P[j] * R

Hardware follows a stream within a page, not from one pass over a row to the next. The schedule only marks
a loop; the instructions are put in once vectors exist (``tuner/measure/prefetching.py``).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from search_space.access import BlockInfo, BufferUse
from search_space.decisions import Columns, Slot, choice
from search_space.hardware import Hardware
from search_space.rules.row_chain import RowChainStep
from search_space.tvm_api import Schedule

PREFETCH = "pragma_tirtune_prefetch"
"""Annotation of a loop: how many elements ahead of each vector load from an argument to prefetch."""
PREFETCH_RESULT = "pragma_tirtune_prefetch_result"
"""Annotation of such a loop: the function's result is prefetched for writing where its operand is read."""

NOTHING, OPERAND, BOTH = 0, 1, 2
"""Values of the slot."""


def prefetch_name(step: RowChainStep) -> str:
    """Name of the slot that says what is prefetched."""
    return f"{step.last.name}.prefetch"


def prefetch_slots(step: RowChainStep, hardware: Hardware) -> tuple[Slot, ...]:
    """Offer prefetching where operand and result do not stay in the second cache level.

    Args:
        step: Passes over rows.
        hardware: Limits.

    Returns:
        One slot, or none where no pass but the first reads an argument in order.
    """
    found = second_reader(step)
    if found is None:
        return ()
    reader, operand = found
    if reader.conditional or reader.axes[-1].extent % hardware.lanes(operand.element_bytes):
        return ()
    result = step.last.writes[0]
    moved = prod(operand.shape) * operand.element_bytes + prod(result.shape) * result.element_bytes
    if moved <= hardware.l2_bytes * hardware.cores:
        return ()
    is_alike = step.last.is_output and (result.shape, result.dtype) == (operand.shape, operand.dtype)
    return (choice(prefetch_name(step), (NOTHING, OPERAND, BOTH) if is_alike else (NOTHING, OPERAND)),)


def second_reader(step: RowChainStep) -> tuple[BlockInfo, BufferUse] | None:
    """Find the element-wise pass in which to prefetch, and the argument that an earlier pass has read."""
    made = {use.name for block in step.chain for use in block.writes}
    seen: set[str] = set()
    for block in step.chain[:-1]:
        for use in block.reads:
            in_order = use.last_coefficient(len(block.axes) - 1) == 1
            if use.name in seen and in_order and not block.is_reduction:
                return block, use
        seen.update(use.name for use in block.reads if use.name not in made)
    return None


def prefetched(step: RowChainStep, hardware: Hardware, columns: Columns) -> np.ndarray:
    """Return what each candidate prefetches: [N]."""
    if not prefetch_slots(step, hardware):
        return np.zeros(columns.size, np.int64)
    return np.asarray(columns.choice(prefetch_name(step)))


def mark_prefetch(sch: Schedule, loop: Any, operand: BufferUse, rows: int, axis: int, what: int) -> None:
    """Mark a loop of the pass that reads an operand.

    Args:
        sch: The schedule.
        loop: The loop over vectors.
        operand: What it reads.
        rows: Rows that take turns: the next ones lie as many rows ahead.
        axis: Iterator of the rows.
        what: ``OPERAND`` or ``BOTH``.
    """
    sch.annotate(loop, PREFETCH, int(rows * operand.last_coefficient(axis)))
    if what == BOTH:
        sch.annotate(loop, PREFETCH_RESULT, 1)
