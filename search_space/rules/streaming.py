"""Non-temporal stores: a large result goes to memory without being read into the caches first.

before::

    for i0, i1: vector j: D[...] = max(A[...], 0)         # every line of D is fetched, changed, evicted

after::

    for i0:
      stream: for i1: vector j: D[...] = max(A[...], 0)   # whole lines are written past the caches
      fence

The schedule only marks a loop; the stores are replaced once vectors exist (``tuner/measure/streaming.py``).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice
from search_space.hardware import Hardware
from search_space.nest import Bools
from search_space.tvm_api import Schedule

STREAM = "pragma_tirtune_stream"
"""Annotation of the loop whose vector stores into the function's results are non-temporal."""

STREAMED_TYPES = ("float32", "float64", "int32")
"""Element types of such results."""

MIN_SHARE = 0.25
"""Share of the last-level cache above which a result may be streamed: with operands as large, little of it
would be found there again. Below, streaming costs up to three times as much as plain stores
(docs/decisions.md)."""


def stream_name(block: BlockInfo) -> str:
    """Name of the slot: 1 where a block's stores are non-temporal."""
    return f"{block.name}.stream"


def stream_slots(block: BlockInfo, hardware: Hardware) -> tuple[Slot, ...]:
    """Offer non-temporal stores to a block whose result takes much of the last-level cache.

    Args:
        block: What writes the result.
        hardware: Limits.

    Returns:
        One slot, or none where the result is small, no argument of the function, or not written in order.
    """
    return (choice(stream_name(block), (0, 1)),) if is_streamable(block, hardware) else ()


def is_streamable(block: BlockInfo, hardware: Hardware) -> bool:
    """Report whether a block has the slot."""
    use = block.writes[0]
    size = prod(use.shape) * use.element_bytes
    in_order = any(use.last_coefficient(i) == 1 for i in block.spatial)
    known = use.dtype in STREAMED_TYPES and len(block.writes) == 1
    return block.is_output and known and in_order and size > MIN_SHARE * hardware.l3_bytes


def streamed(block: BlockInfo, hardware: Hardware, columns: Columns) -> Bools:
    """Mask of the candidates whose stores are non-temporal: [N]."""
    if not is_streamable(block, hardware):
        return np.zeros(columns.size, dtype=bool)
    return np.asarray(columns.choice(stream_name(block)) == 1)


def mark_streamed(sch: Schedule, loop: Any) -> None:
    """Make the vector stores below a loop, which should be all of one task's, non-temporal."""
    sch.annotate(loop, STREAM, 1)
