"""Recognises what normalisations of rows are made of: shifted exponentials, sums and divisions of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.rewrites.program import Axis, Program, Stage, substitute
from search_space.tvm_api import structural_equal, tirx, tvm, tvm_ffi


def shifted_exponent(program: Program, stage: Stage) -> Any | None:
    """Return ``x - M`` where a stage is ``exp(x - M)`` and M the maximum of x over the last axis."""
    value = stage.value
    if str(getattr(getattr(value, "op", None), "name", "")) != "tirx.exp":
        return None
    exponent = value.args[0]
    if not isinstance(exponent, tirx.Sub):
        return None
    largest = program.producer(getattr(exponent.b, "source", None)) if is_load(exponent.b) else None
    if largest is None or largest.combiner != "max" or len(largest.reduction) != 1:
        return None
    # What the maximum is over, written with the axes of this stage.
    rows = list(zip((a.var for a in largest.axes), exponent.b.indices, strict=True))
    over = substitute(largest.value, [*rows, (largest.reduction[0].var, stage.axes[-1].var)])
    return exponent if structural_equal(over, exponent.a) else None


def is_row_sum(stage: Stage, powers: Stage) -> bool:
    """Report whether a stage sums whole rows of another one as they are."""
    return (
        stage.combiner == "sum"
        and len(stage.reduction) == 1
        and is_load(stage.value)
        and len(stage.value.indices) == len(powers.axes)
        and is_row(stage.value.indices[:-1], (*stage.axes, stage.reduction[0]))
        and stage.value.indices[-1].same_as(stage.reduction[0].var)
    )


def is_row(indices: Sequence[Any], axes: Sequence[Axis]) -> bool:
    """Report whether indices are all axes but the last, in their order."""
    return len(indices) == len(axes) - 1 and all(
        hasattr(i, "ty") and i.same_as(a.var) for i, a in zip(indices, axes, strict=False)
    )


def row_division(program: Program, stage: Stage) -> tuple[Any, Any] | None:
    """Return a stage's division by an element that does not depend on its last axis, and that element."""
    found: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        if not is_load(node.b) or program.producer(node.b.source) is None or str(node.ty) != "float32":
            return
        if not _uses(node.b.indices, stage.axes[-1].var):
            found.append((node, node.b))

    tvm_ffi.structural_walk(stage.value, [(tirx.Div, visit)])
    return found[0] if len(found) == 1 else None


def is_load(expression: Any) -> bool:
    """Report whether an expression is one element of a buffer."""
    return isinstance(expression, tvm.ir.TensorLoad)


def _uses(indices: Sequence[Any], variable: Any) -> bool:
    found: list[Any] = []
    for index in indices:
        if hasattr(index, "ty"):
            tvm_ffi.structural_walk(index, [(tvm.ir.Var, lambda v: found.append(v.same_as(variable)))])
    return any(found)
