"""Reduce the whole vectors of a row apart from what is left of it.

before (rows of 509 elements)::

    for i, k:       S[i]      += f(x[i, k])                # k < 509: no vectors

after (16 lanes)::

    for i, k:       S.main[i] += f(x[i, k])                # k < 496
    for i, k:       S.tail[i] += f(x[i, 496 + k])          # k < 13
    for i:          S[i]       = S.main[i] + S.tail[i]

A row that exponentials are taken of is padded instead (see :mod:`search_space.rewrites.softmax`).
"""

from __future__ import annotations

from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Builder, Emitter, combine, emit, reduce_axes
from search_space.rewrites.program import Axis, Program, Stage, loads_of
from search_space.tvm_api import te, tirx, tvm, tvm_ffi


def row_tails(program: Program, lanes: int) -> Rewrite | None:
    """Split every reduction along rows that vectors do not divide.

    Args:
        program: The program.
        lanes: Elements of one vector.

    Returns:
        The rewrite, or None if there is no such reduction.
    """
    builders = [(s, _split(s, lanes)) for s in program.stages if _is_ragged(s, lanes)]
    return Rewrite(f"tails{lanes}", emit(program, builders), 1.0) if builders else None


def _is_ragged(stage: Stage, lanes: int) -> bool:
    """Report whether a stage reduces rows that are contiguous, used once each, and not whole vectors."""
    if stage.combiner is None or not stage.reduction:
        return False
    last = stage.reduction[-1]
    if last.extent < lanes or last.extent % lanes == 0:
        return False
    loads = loads_of(stage.value)
    along = [load for load in loads if load.indices and _is_variable(load.indices[-1], last)]
    if not along or any(_axes_of(load.indices[:-1], [last]) for load in loads):
        return False
    busy = [a for a in stage.axes if a.extent > 1]
    return all(len(_axes_of(load.indices, busy)) == len(busy) for load in along)


def _split(stage: Stage, lanes: int) -> Builder:
    last = stage.reduction[-1]
    whole = last.extent // lanes * lanes

    def build(emitter: Emitter) -> tuple[Any, None]:
        names = [a.name for a in stage.axes]

        def part(name: str, begin: int, extent: int) -> Any:
            outer = reduce_axes(stage.reduction[:-1])
            inner = te.reduce_axis((0, extent), name=last.name)

            def body(*index: Any) -> Any:
                bound = [(a.var, i) for a, i in zip(stage.axes, index, strict=True)]
                bound += [(a.var, r.var) for a, r in zip(stage.reduction[:-1], outer, strict=True)]
                bound.append((last.var, inner.var + begin if begin else inner.var))
                return combine(str(stage.combiner), emitter.convert(stage.value, bound), [*outer, inner])

            return emitter.compute(stage.shape, body, f"{stage.name}_{name}", names)

        main, tail = part("main", 0, whole), part("tail", whole, last.extent - whole)
        joined = {"sum": lambda a, b: a + b, "max": tirx.max, "min": tirx.min}[str(stage.combiner)]
        both = emitter.compute(
            stage.shape, lambda *index: joined(main(*index), tail(*index)), stage.name, names
        )
        return both, None

    return build


def _is_variable(index: Any, axis: Axis) -> bool:
    return hasattr(index, "ty") and bool(index.same_as(axis.var))


def _axes_of(indices: Any, axes: Any) -> list[Axis]:
    """Return the axes that some index depends on."""
    found: list[Axis] = []

    def visit(variable: Any) -> None:
        found.extend(a for a in axes if variable.same_as(a.var) and not any(a is f for f in found))

    for index in indices:
        if hasattr(index, "ty"):
            tvm_ffi.structural_walk(index, [(tvm.ir.Var, visit)])
    return found
