"""Softmax in one pass over long rows (the online softmax, arXiv 1805.02867, with pieces for elements).

before::

    for i, k: M[i]    = max(M[i], x[i, k])
    for i, j: P[i, j] = exp(x[i, j] - M[i])
    for i, k: S[i]   += P[i, k]
    for i, j: D[i, j] = P[i, j] / S[i]

after (pieces of n elements, each still in the first cache level when it is needed again)::

    for i, b:
      for k:  m[i, b]    = max(m[i, b], x[i, b*n + k])
      for j:  p[i, b, j] = exp(min(x[i, b*n + j] - m[i, b], 0))
      for k:  s[i, b]   += p[i, b, k]
    for i, b:    M[i]    = max(M[i], m[i, b])
    for i, b:    F[i, b] = exp(m[i, b] - M[i])
    for i, b:    S[i]   += s[i, b] * F[i, b]
    for i, b:    G[i, b] = F[i, b] / S[i]
    for i, b, j: D[i, b*n + j] = p[i, b, j] * G[i, b]

The row is read once instead of twice, at one exponential an element as before. The passes of a piece run
together (see ``RowsStep``).
"""

from __future__ import annotations

from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.emit import Builder, Emitter, Layout, combine, emit
from search_space.rewrites.pieces import at_row, piece_of, pieces_layout
from search_space.rewrites.program import Program, Stage, substitute
from search_space.rewrites.row_patterns import is_load, is_row, is_row_sum, row_division, shifted_exponent
from search_space.tvm_api import structural_equal, te, tirx, tvm_ffi


def online_softmax(program: Program, lanes: int) -> Rewrite | None:
    """Compute the softmax of long rows piece by piece.

    Args:
        program: The program.
        lanes: Elements of one vector.

    Returns:
        The rewrite; None if there is no softmax, its rows are short, or no piece divides them.
    """
    builders: list[tuple[Stage, Builder]] = []
    pieces: list[int] = []
    for stage in program.stages:
        found = _softmax_of(program, stage)
        piece = piece_of(stage.axes[-1].extent, lanes) if found is not None else None
        if found is not None and piece is not None:
            builders += _in_pieces(program, stage, *found, piece)
            pieces.append(piece)
    return Rewrite(f"online{pieces[0]}", emit(program, builders), 1.0) if builders else None


def _softmax_of(program: Program, powers: Stage) -> tuple[Any, Stage, Stage, Any] | None:
    """Return exponent, row sum, quotient and its division, where a stage is the powers of a softmax."""
    if powers.combiner is not None or powers.dtype != "float32" or not powers.axes:
        return None
    exponent = shifted_exponent(program, powers)
    if exponent is None or not is_row(exponent.b.indices, powers.axes):
        return None
    readers = program.readers(powers.buffer)
    sums = [s for s in readers if is_row_sum(s, powers)]
    quotients = [s for s in readers if s.combiner is None and s.shape == powers.shape]
    largest = program.producer(exponent.b.source)
    if len(readers) != 2 or len(sums) != 1 or len(quotients) != 1 or largest is None:
        return None
    (total,), (quotient,) = sums, quotients
    division = row_division(program, quotient)
    if division is None or not division[1].source.same_as(total.buffer):
        return None
    ratio = division[0]
    alone = program.readers(largest.buffer) == (powers,) and program.readers(total.buffer) == (quotient,)
    whole = (
        is_load(ratio.a)
        and ratio.a.source.same_as(powers.buffer)
        and is_row((*ratio.a.indices[:-1],), quotient.axes)
        and ratio.a.indices[-1].same_as(quotient.axes[-1].var)
        and is_row(division[1].indices, quotient.axes)
    )
    hidden = any(program.is_param(s.buffer) for s in (largest, powers, total))
    return (exponent, total, quotient, ratio) if alone and whole and not hidden else None


def _in_pieces(
    program: Program, powers: Stage, exponent: Any, total: Stage, quotient: Stage, ratio: Any, piece: int
) -> list[tuple[Stage, Builder]]:
    axes = powers.axes
    layout = pieces_layout(axes, piece)
    rows = [a.name for a in axes[:-1]]
    shape, coarse = layout.shape, layout.shape[:-1]
    largest = program.producer(exponent.b.source)
    assert largest is not None and layout.to_old is not None
    to_old = layout.to_old
    made: dict[str, Any] = {}

    def reduced(emitter: Emitter, kind: str, value: Any, name: str) -> Any:
        k = te.reduce_axis((0, piece), name="k")
        body = lambda *at: combine(kind, value(*at, k.var), [k])  # noqa: E731
        return emitter.compute(coarse, body, name, [*rows, "piece"])

    def over_pieces(emitter: Emitter, kind: str, value: Any, name: str) -> Any:
        b = te.reduce_axis((0, coarse[-1]), name="b")
        body = lambda *at: combine(kind, value(*at, b.var), [b])  # noqa: E731
        return emitter.compute(coarse[:-1], body, name, rows)

    def small(emitter: Emitter, body: Any, name: str) -> Any:
        return emitter.compute(coarse, body, name, [*rows, "piece"], is_kept=True)

    def of_piece(emitter: Emitter) -> tuple[Any, Any]:
        """Return the powers and the largest element of every piece."""
        if not made:

            def element(*at: Any) -> Any:
                return emitter.convert(at_row(exponent.a, axes, to_old(at)))

            def power(*at: Any) -> Any:
                return tirx.exp(
                    tirx.min(element(*at) - made["largest"](*at[:-1]), tirx.const(0.0, "float32"))
                )

            made["largest"] = reduced(emitter, "max", element, f"{largest.name}_piece")
            made["powers"] = emitter.compute(shape, power, powers.name, layout.names)
        return made["powers"], made["largest"]

    def scale(emitter: Emitter) -> Any:
        exponentials, most = of_piece(emitter)
        sums = reduced(emitter, "sum", exponentials, f"{total.name}_piece")
        top = over_pieces(emitter, "max", most, largest.name)
        factor = small(emitter, lambda *at: tirx.exp(most(*at) - top(*at[:-1])), f"{powers.name}_factor")
        whole = over_pieces(emitter, "sum", lambda *at: sums(*at) * factor(*at), total.name)
        return small(emitter, lambda *at: factor(*at) / whole(*at[:-1]), f"{quotient.name}_factor")

    def build(emitter: Emitter) -> tuple[Any, Layout]:
        factors = scale(emitter)
        exponentials, _ = of_piece(emitter)
        share = tirx.Var("share", "float32")
        value = tvm_ffi.structural_map(
            quotient.value, (tirx.Div, lambda node: share if structural_equal(node, ratio) else node)
        )

        def body(*at: Any) -> Any:
            bound = [(a.var, i) for a, i in zip(quotient.axes, to_old(at), strict=True)]
            product = exponentials(*at) * factors(*at[:-1])
            return substitute(emitter.convert(value, bound), [(share, product)])

        return emitter.compute(shape, body, quotient.name, layout.names), layout

    return [(quotient, build)]
