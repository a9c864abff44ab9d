"""Softmax with one cheap exponential and one division a row.

before::

    for i, k: M[i]    = max(M[i], x[i, k])
    for i, j: P[i, j] = exp(x[i, j] - M[i])
    for i, k: S[i]   += P[i, k]
    for i, j: D[i, j] = P[i, j] / S[i]

after::

    for i, k: M[i]    = max(M[i], x[i, k])
    for i, j: P[i, j] = exp(min(x[i, j] - M[i], 0))   # which numerics replaces by the short exponential
    for i, k: S[i]   += P[i, k]
    for i:    R[i]    = 1 / S[i]
    for i, j: D[i, j] = P[i, j] * R[i]

Both changes stand alone: any exponential of what lies below its row's largest element, any division by what
is computed once a row. Results differ by a few units in the last place of the largest of their row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Builder, Emitter, emit
from search_space.rewrites.program import Program, Stage, substitute
from search_space.tvm_api import structural_equal, tirx, tvm, tvm_ffi

MIN_ROW = 8
"""Shorter rows do not pay for another stage."""


def softmax(program: Program) -> Rewrite | None:
    """Make the exponentials and divisions of row normalisations cheaper.

    Args:
        program: The program.

    Returns:
        The rewrite, or None if it has neither in float32.
    """
    builders: list[tuple[Stage, Builder]] = []
    for stage in program.stages:
        if stage.combiner is not None or stage.reduction or stage.dtype != "float32" or not stage.axes:
            continue
        if stage.axes[-1].extent < MIN_ROW:
            continue
        if (exponent := _shifted_exponent(program, stage)) is not None:
            builders.append((stage, _powers(stage, exponent)))
        elif (division := _row_division(program, stage)) is not None:
            builders.append((stage, _scaled(program, stage, *division)))
    if not builders:
        return None
    return Rewrite("scaled", emit(program, builders), 1.0)


def _shifted_exponent(program: Program, stage: Stage) -> Any | None:
    """Return ``x - M`` where a stage is ``exp(x - M)`` and M the maximum of x over the last axis."""
    value = stage.value
    if str(getattr(getattr(value, "op", None), "name", "")) != "tirx.exp":
        return None
    exponent = value.args[0]
    if not isinstance(exponent, tirx.Sub):
        return None
    largest = program.producer(getattr(exponent.b, "source", None)) if _is_load(exponent.b) else None
    if largest is None or largest.combiner != "max" or len(largest.reduction) != 1:
        return None
    # What the maximum is over, written with the axes of this stage.
    rows = list(zip((a.var for a in largest.axes), exponent.b.indices, strict=True))
    over = substitute(largest.value, [*rows, (largest.reduction[0].var, stage.axes[-1].var)])
    return exponent if structural_equal(over, exponent.a) else None


def _powers(stage: Stage, exponent: Any) -> Builder:
    def build(emitter: Emitter) -> tuple[Any, None]:
        def body(*index: Any) -> Any:
            bound = [(a.var, i) for a, i in zip(stage.axes, index, strict=True)]
            # The bound changes no value; it tells search_space.numerics which exponential will do.
            return tirx.exp(tirx.min(emitter.convert(exponent, bound), tirx.const(0.0, "float32")))

        return emitter.compute(stage.shape, body, stage.name, [a.name for a in stage.axes]), None

    return build


def _row_division(program: Program, stage: Stage) -> tuple[Any, Any] | None:
    """Return a stage's division by an element that does not depend on its last axis, and that element."""
    found: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        if not _is_load(node.b) or program.producer(node.b.source) is None or str(node.ty) != "float32":
            return
        if not _uses(node.b.indices, stage.axes[-1].var):
            found.append((node, node.b))

    tvm_ffi.structural_walk(stage.value, [(tirx.Div, visit)])
    return found[0] if len(found) == 1 else None


def _scaled(program: Program, stage: Stage, division: Any, divisor: Any) -> Builder:
    below = program.producer(divisor.source)
    assert below is not None

    def build(emitter: Emitter) -> tuple[Any, None]:
        one = tirx.const(1.0, "float32")
        inverse = emitter.compute(
            below.shape,
            lambda *index: one / emitter.read(divisor.source, index),
            f"{below.name}_inverse",
            [a.name for a in below.axes],
        )
        factor = tirx.Var("factor", "float32")

        def multiplied(node: Any) -> Any:
            return node.a * factor if structural_equal(node, division) else node

        product = tvm_ffi.structural_map(stage.value, (tirx.Div, multiplied))

        def body(*index: Any) -> Any:
            bound = [(a.var, i) for a, i in zip(stage.axes, index, strict=True)]
            at = [substitute(i, bound) for i in divisor.indices]
            return substitute(emitter.convert(product, bound), [(factor, inverse(*at))])

        return emitter.compute(stage.shape, body, stage.name, [a.name for a in stage.axes]), None

    return build


def _is_load(expression: Any) -> bool:
    return isinstance(expression, tvm.ir.TensorLoad)


def _uses(indices: Sequence[Any], variable: Any) -> bool:
    found: list[Any] = []
    for index in indices:
        if hasattr(index, "ty"):
            tvm_ffi.structural_walk(index, [(tvm.ir.Var, lambda v: found.append(v.same_as(variable)))])
    return any(found)
