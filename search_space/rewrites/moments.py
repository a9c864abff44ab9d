"""Sum and squared deviations of long rows in one pass (layer normalisation): Welford's method by pieces.

before::

    for i, k: T[i] += x[i, k]
    for i, k: Q[i] += (x[i, k] - mean(T[i]))^2

after (pieces of n elements, each still in the first cache level for its second pass)::

    for i, b:
      for k: t[i, b] += x[i, b*n + k]
      for k: q[i, b] += (x[i, b*n + k] - t[i, b]/n)^2
    for i, b: T[i] += t[i, b]
    for i, b: Q[i] += q[i, b] + n * (t[i, b]/n - mean(T[i]))^2

Every square is of a deviation from a mean near by, so nothing cancels, whatever the row's offset is (Chan,
Golub and LeVeque, 1983); a mean of squares less the square of the mean would lose all digits.
"""

from __future__ import annotations

from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Builder, Emitter, combine, emit
from search_space.rewrites.pieces import at_row, piece_of
from search_space.rewrites.program import Axis, Program, Stage, loads_of
from search_space.tvm_api import structural_equal, te, tirx, tvm, tvm_ffi


def piecewise_moments(program: Program, lanes: int) -> Rewrite | None:
    """Compute sums and sums of squared deviations of long rows together, piece by piece.

    Args:
        program: The program.
        lanes: Elements of one vector.

    Returns:
        The rewrite; None if there are no such sums, their rows are short, or no piece divides them.
    """
    builders: list[tuple[Stage, Builder]] = []
    pieces: list[int] = []
    for stage in program.stages:
        found = _moments_of(program, stage)
        piece = piece_of(stage.reduction[-1].extent, lanes) if found is not None else None
        if found is not None and piece is not None:
            builders += _in_pieces(stage, *found, piece)
            pieces.append(piece)
    return Rewrite(f"moments{pieces[0]}", emit(program, builders), 1.0) if builders else None


def _moments_of(program: Program, squares: Stage) -> tuple[Stage, Any, Any] | None:
    """Return the sum, the element and the middle where a stage adds up ``(element - middle)^2``.

    The middle depends on the row only, through the sum of the row's elements; which function of it does
    not matter: ``sum (x - m)^2 = sum (x - mean)^2 + n (mean - m)^2`` holds for every m.
    """
    value = squares.value
    if squares.combiner != "sum" or len(squares.reduction) != 1 or squares.dtype != "float32":
        return None
    if not isinstance(value, tirx.Mul) or not structural_equal(value.a, value.b):
        return None
    deviation = value.a
    if not isinstance(deviation, tirx.Sub) or _depends(deviation.b, squares.reduction[0]):
        return None
    sums = [program.producer(load.source) for load in loads_of(deviation.b)]
    total = sums[0] if len(sums) == 1 else None
    if total is None or total.combiner != "sum" or len(total.reduction) != 1 or total.shape != squares.shape:
        return None
    own = loads_of(deviation.b)[0]
    same_row = all(
        (hasattr(i, "ty") and i.same_as(a.var)) or a.extent == 1
        for i, a in zip(own.indices, squares.axes, strict=True)
    )
    over = at_row(
        total.value, (*total.axes, *total.reduction), [a.var for a in (*squares.axes, *squares.reduction)]
    )
    if not same_row or not structural_equal(over, deviation.a) or program.is_param(total.buffer):
        return None
    return total, deviation.a, deviation.b


def _depends(expression: Any, axis: Axis) -> bool:
    found: list[bool] = []
    tvm_ffi.structural_walk(expression, [(tvm.ir.Var, lambda v: found.append(v.same_as(axis.var)))])
    return any(found)


def _in_pieces(
    squares: Stage, total: Stage, element: Any, middle: Any, piece: int
) -> list[tuple[Stage, Builder]]:
    axes, row = squares.axes, squares.reduction[0]
    names = [a.name for a in axes]
    coarse = (*squares.shape, row.extent // piece)
    part = tirx.const(1.0 / piece, squares.dtype)
    made: list[Any] = []

    def summed(emitter: Emitter, value: Any, name: str) -> Any:
        k = te.reduce_axis((0, piece), name="k")

        def body(*at: Any) -> Any:
            here = at_row(element, (*axes, row), (*at[:-1], at[-1] * piece + k.var))
            return combine("sum", value(emitter.convert(here), at), [k])

        return emitter.compute(coarse, body, name, [*names, "piece"])

    def sums(emitter: Emitter) -> Any:
        if not made:
            made.append(summed(emitter, lambda x, at: x, f"{total.name}_piece"))
        return made[0]

    def whole(emitter: Emitter) -> tuple[Any, None]:
        parts = sums(emitter)
        b = te.reduce_axis((0, coarse[-1]), name="b")
        body = lambda *at: combine("sum", parts(*at, b.var), [b])  # noqa: E731
        return emitter.compute(total.shape, body, total.name, names), None

    def spread(emitter: Emitter) -> tuple[Any, None]:
        parts = sums(emitter)

        def squared(x: Any, at: Any) -> Any:
            return (x - parts(*at) * part) * (x - parts(*at) * part)

        deviations = summed(emitter, squared, f"{squares.name}_piece")
        b = te.reduce_axis((0, coarse[-1]), name="b")

        def body(*at: Any) -> Any:
            off = parts(*at, b.var) * part - emitter.convert(at_row(middle, axes, at))
            count = tirx.const(float(piece), squares.dtype)
            return combine("sum", deviations(*at, b.var) + count * (off * off), [b])

        return emitter.compute(squares.shape, body, squares.name, names), None

    return [(total, whole), (squares, spread)]
