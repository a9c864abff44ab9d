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
from dataclasses import replace
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Builder, Emitter, Layout, combine, emit, reduce_axes
from search_space.rewrites.program import Axis, Program, Stage, loads_of, substitute
from search_space.tvm_api import structural_equal, tirx, tvm, tvm_ffi

_MINUS_INFINITY_BITS = 0xFF800000 - 2**32

MIN_ROW = 8
"""Shorter rows do not pay for another stage."""


def softmax(program: Program, multiple: int = 1) -> Rewrite | None:
    """Make the exponentials and divisions of row normalisations cheaper.

    Args:
        program: The program.
        multiple: Rows of exponentials are padded to a multiple of this, with minus infinity, whose
            exponential adds nothing: ``X[i, j] = j < n ? x[i, j] : -inf`` comes first, and M, P and S run
            over whole vectors of it.

    Returns:
        The rewrite; None if it has neither in float32, or if there is nothing to pad but it was asked for.
    """
    builders: list[tuple[Stage, Builder]] = []
    padded: list[Stage] = []
    for stage in program.stages:
        if stage.combiner is not None or stage.reduction or stage.dtype != "float32" or not stage.axes:
            continue
        if stage.axes[-1].extent < MIN_ROW:
            continue
        if (exponent := _shifted_exponent(program, stage)) is not None:
            if multiple > 1 and stage.axes[-1].extent % multiple:
                builders += _padded(program, stage, exponent, multiple)
                padded.append(stage)
            else:
                builders.append((stage, _powers(stage, exponent)))
        elif (division := _row_division(program, stage)) is not None:
            builders.append((stage, _scaled(program, stage, *division)))
    if not builders or (multiple > 1 and not padded):
        return None
    return Rewrite(f"scaled{multiple}" if padded else "scaled", emit(program, builders), 1.0)


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


def _padded(program: Program, stage: Stage, exponent: Any, multiple: int) -> list[tuple[Stage, Builder]]:
    """Compute a row's exponentials, their maximum and the plain sums of them over padded rows."""
    axes, last = stage.axes, stage.axes[-1]
    extent = -(-last.extent // multiple) * multiple
    shape, names = (*stage.shape[:-1], extent), tuple(a.name for a in axes)
    largest = program.producer(exponent.b.source)
    assert largest is not None
    # Of any finite fill, the exponential could be one where all of a row is minus infinity.
    nothing = tirx.reinterpret("float32", tirx.const(_MINUS_INFINITY_BITS, "int32"))
    copies: list[Any] = []

    def copy(emitter: Emitter) -> Any:
        def body(*index: Any) -> Any:
            bound = list(zip((a.var for a in axes), index, strict=True))
            value = emitter.convert(exponent.a, bound)
            return tirx.if_then_else(index[-1] < last.extent, value, nothing)

        if not copies:
            copies.append(emitter.compute(shape, body, f"{stage.name}_rows", names))
        return copies[0]

    def powers(emitter: Emitter) -> tuple[Any, Layout]:
        rows = copy(emitter)

        def body(*index: Any) -> Any:
            bound = list(zip((a.var for a in axes), index, strict=True))
            below = rows(*index) - emitter.convert(exponent.b, bound)
            return tirx.exp(tirx.min(below, tirx.const(0.0, "float32")))

        tensor = emitter.compute(shape, body, stage.name, names)
        return tensor, Layout(shape, names, lambda index: index, None)

    def maximum(emitter: Emitter) -> tuple[Any, None]:
        (k,) = reduce_axes([replace(largest.reduction[0], extent=extent)])
        rows = copy(emitter)
        tensor = emitter.compute(
            largest.shape,
            lambda *index: combine("max", rows(*index, k), [k]),
            largest.name,
            [a.name for a in largest.axes],
        )
        return tensor, None

    found: list[tuple[Stage, Builder]] = [(stage, powers)]
    if program.readers(largest.buffer) == (stage,) and _is_row(exponent.b.indices, axes):
        found.append((largest, maximum))
    found += [(s, _summed(s, extent)) for s in program.readers(stage.buffer) if _is_row_sum(s, stage)]
    return found


def _summed(stage: Stage, extent: int) -> Builder:
    (load,) = loads_of(stage.value)

    def build(emitter: Emitter) -> tuple[Any, None]:
        powers, _ = emitter.made(load.source)
        (k,) = reduce_axes([replace(stage.reduction[0], extent=extent)])
        names = [a.name for a in stage.axes]
        body = lambda *index: combine("sum", powers(*index, k), [k])  # noqa: E731
        return emitter.compute(stage.shape, body, stage.name, names), None

    return build


def _is_row_sum(stage: Stage, powers: Stage) -> bool:
    """Report whether a stage sums whole rows of another one as they are."""
    return (
        stage.combiner == "sum"
        and len(stage.reduction) == 1
        and _is_load(stage.value)
        and len(stage.value.indices) == len(powers.axes)
        and _is_row(stage.value.indices[:-1], (*stage.axes, stage.reduction[0]))
        and stage.value.indices[-1].same_as(stage.reduction[0].var)
    )


def _is_row(indices: Sequence[Any], axes: Sequence[Axis]) -> bool:
    """Report whether indices are all axes but the last, in their order."""
    return len(indices) == len(axes) - 1 and all(
        hasattr(i, "ty") and i.same_as(a.var) for i, a in zip(indices, axes, strict=False)
    )


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
