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

from dataclasses import replace
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Builder, Emitter, Layout, combine, emit, reduce_axes
from search_space.rewrites.program import Program, Stage, loads_of, substitute
from search_space.rewrites.row_patterns import is_row, is_row_sum, row_division, shifted_exponent
from search_space.tvm_api import structural_equal, tirx, tvm_ffi

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
        if (exponent := shifted_exponent(program, stage)) is not None:
            if multiple > 1 and stage.axes[-1].extent % multiple:
                builders += _padded(program, stage, exponent, multiple)
                padded.append(stage)
            else:
                builders.append((stage, _powers(stage, exponent)))
        elif (division := row_division(program, stage)) is not None:
            builders.append((stage, _scaled(program, stage, *division)))
    if not builders or (multiple > 1 and not padded):
        return None
    return Rewrite(f"scaled{multiple}" if padded else "scaled", emit(program, builders), 1.0)


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
    if program.readers(largest.buffer) == (stage,) and is_row(exponent.b.indices, axes):
        found.append((largest, maximum))
    found += [(s, _summed(s, extent)) for s in program.readers(stage.buffer) if is_row_sum(s, stage)]
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
