"""Split a long reduction into partial sums that can run in parallel.

before (few output tiles, many terms)::

    for i, j, k:      out[i, j] += a[i, k] * b[k, j]

after (s parts of the longest reduction axis)::

    for s, i, j, k:   part[s, i, j] += a[i, K/s * s + k] * b[K/s * s + k, j]
    for i, j, s:      out[i, j] += part[s, i, j]
"""

from __future__ import annotations

from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Emitter, combine, emit
from search_space.rewrites.program import Program, Stage
from search_space.tvm_api import te


def split_reduction(program: Program, parts: int) -> Rewrite | None:
    """Compute the anchor as a sum of partial sums.

    Args:
        program: The program.
        parts: Number of partial sums; must divide the longest reduction axis.

    Returns:
        The rewrite, or None if there is no reduction or it does not divide.
    """
    stage = program.anchor()
    if stage is None or not stage.reduction:
        return None
    longest = max(stage.reduction, key=lambda a: a.extent)
    if longest.extent % parts or longest.extent == parts:
        return None
    return Rewrite(f"split{parts}", emit(program, [(stage, lambda e: _compute(e, stage, parts))]), 1.0)


def _compute(emitter: Emitter, stage: Stage, parts: int) -> tuple[Any, None]:
    longest = max(stage.reduction, key=lambda a: a.extent)
    length = longest.extent // parts
    loops = [te.reduce_axis((0, length if a is longest else a.extent), name=a.name) for a in stage.reduction]

    def partial(part: Any, *index: Any) -> Any:
        bound = [(a.var, i) for a, i in zip(stage.axes, index, strict=True)]
        for axis, loop in zip(stage.reduction, loops, strict=True):
            bound.append((axis.var, part * length + loop.var if axis is longest else loop.var))
        return combine("sum", emitter.convert(stage.value, bound), loops)

    names = [a.name for a in stage.axes]
    sums = emitter.compute((parts, *stage.shape), partial, f"{stage.name}_part", ["part", *names])
    part = te.reduce_axis((0, parts), name="part")
    total = emitter.compute(
        stage.shape, lambda *index: te.sum(sums(part, *index), axis=part), stage.name, names
    )
    return total, None
