"""Write a small linear transform out as straight-line code in one block.

before (a stub that says which elements go in and out; ``coefficients`` are not in it)::

    for u, rest, a, b:  out[u, rest] += source[f(a, b, rest)]

after (``out = left * source * right^T`` for every ``rest``, zeros and ones folded)::

    for rest:
        d00 = source[f(0, 0, rest)]; d10 = ...
        t00 = d00 - d20; ...
        out[0, rest] = t00 - t02; out[1, rest] = ...

A stub over one iterator alone stands for ``out = left * source``.

The block has one store per output element, so whatever is left of its loops can be vectorised.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_space.rewrites.emit import Emitter, Layout, emit
from search_space.rewrites.fuse_rows import joined
from search_space.rewrites.program import Program, Stage, constant, loads_of, substitute
from search_space.tvm_api import PrimFunc, tirx, tvm

_ALIGN = "buffer_dim_align"
"""TVM's annotation of blocks: buffer, dimension, factor and remainder of its stride."""
_APART = (32, 16)
"""Outputs of one point lie an odd number of lines (of 16 elements) apart: at a power of two, as channels
usually have it, the 16 or 36 stores of one transform would displace each other from one set of a cache."""

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Transform:
    """What to write out, and where.

    Attributes:
        block: Name of the stub: a sum over one or two reduction iterators of one load.
        matrix: [outputs, inputs], applied along each of these dimensions.
        unrolled: Positions of the spatial iterators that count outputs: one that counts row-major
            (``outputs`` to the power of the dimensions), or one a dimension (``outputs`` each).
        counts: Where one dimension is counted by several iterators, row-major: the extent of each.
        split: Position of an iterator to take apart again, or None.
        extents: Into which extents.
        names: With which names.
    """

    block: str
    matrix: Matrix
    unrolled: tuple[int, ...]
    split: int | None = None
    extents: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


def emit_written_out(
    program: Program, stage: Stage, build: Callable[[Emitter], tuple[Any, Layout, Sequence[Transform]]]
) -> Any:
    """Emit a program with a stage built anew, whose transforms are written out.

    Args:
        program: The program.
        stage: The stage that is built anew.
        build: Builds it: what :func:`search_space.rewrites.emit.emit` wants, and the transforms among it.

    Returns:
        The PrimFunc.
    """
    transforms: list[Transform] = []

    def built(emitter: Emitter) -> tuple[Any, Layout]:
        result, layout, stubs = build(emitter)
        transforms.extend(stubs)
        return result, layout

    func = emit(program, [(stage, built)])
    for transform in transforms:
        func = write_out(func, transform)
    return func


def write_out(func: Any, transform: Transform) -> Any:
    """Replace a stub by the transform it stands for.

    Args:
        func: An unscheduled PrimFunc with the stub among its blocks.
        transform: Which block, and what it computes.

    Returns:
        The PrimFunc with that block replaced.
    """
    realize = func.body
    root = realize.block
    statements = [
        _nest(_block_of(s), transform) if str(_block_of(s).name_hint) == transform.block else s
        for s in root.body.seq
    ]
    new_root = tvm.s_tir.SBlock(
        root.iter_vars,
        root.reads,
        root.writes,
        root.name_hint,
        tirx.SeqStmt(statements),
        root.init,
        root.alloc_buffers,
        root.match_buffers,
        root.annotations,
    )
    body = tvm.s_tir.SBlockRealize(realize.iter_values, realize.predicate, new_root)
    return PrimFunc(func.params, body, func.ret_type, func.attrs)


def _block_of(statement: Any) -> Any:
    while isinstance(statement, tirx.For):
        statement = statement.body
    return statement.block


def _nest(block: Any, transform: Transform) -> Any:
    spatial = [iv for iv in block.iter_vars if int(iv.iter_type) == 0]
    taps = [iv.var for iv in block.iter_vars if int(iv.iter_type) == 2]
    value = block.body.value.b
    assert isinstance(value, tvm.ir.TensorLoad), "the stub sums one load"
    counted = [spatial[p].var for p in transform.unrolled]
    loops: list[tuple[str, int, Any]] = []
    bound: list[tuple[Any, Any]] = []
    for position, iterator in enumerate(spatial):
        if position in transform.unrolled:
            continue
        name = str(iterator.var.name).removeprefix("v_")
        if position == transform.split:
            parts = [tirx.Var(f"v_{n}", "int32") for n in transform.names]
            bound.append((iterator.var, joined(parts, transform.extents)))
            loops += zip(transform.names, transform.extents, parts, strict=True)
        else:
            loops.append((name, int(iterator.dom.extent), iterator.var))
    analyzer = tvm.sym.Analyzer()
    for _, extent, variable in loops:
        analyzer.bind(variable, tvm.ir.Range(0, extent))

    def index_at(indices: Sequence[Any], extra: Sequence[tuple[Any, Any]]) -> list[Any]:
        chosen = [*bound, *((v, tirx.const(n, "int32") if isinstance(n, int) else n) for v, n in extra)]
        return [
            analyzer.simplify(substitute(i, chosen)) if hasattr(i, "ty") else tirx.const(i, "int32")
            for i in indices
        ]

    outputs, inputs = len(transform.matrix), len(transform.matrix[0])
    places = list(itertools.product(range(inputs), repeat=len(taps)))
    results = list(itertools.product(range(outputs), repeat=len(taps)))
    # Iterators of extent one: TVM moves a block to where it is needed only if some iterator starts each
    # region that it writes.
    starts = [tirx.Var(f"v_{n}", "int32") for n in ("e", "v")[: len(counted)]]

    def counted_at(place: Sequence[int]) -> list[tuple[Any, Any]]:
        values, extents = list(place), [outputs] * len(taps)
        if transform.counts:
            values = [int(v) for v in np.unravel_index(place[0], transform.counts)]
            extents = list(transform.counts)
        elif len(counted) == 1:
            values, extents = [joined(place, extents)], [outputs ** len(taps)]
        return [
            (variable, start * extent + value)
            for variable, start, extent, value in zip(counted, starts, extents, values, strict=True)
        ]

    sources = [index_at(value.indices, list(zip(taps, place, strict=True))) for place in places]
    targets = [index_at(block.body.indices, counted_at(place)) for place in results]
    body = _straight_line(transform.matrix, value.source, sources, block.body.buffer, targets)
    region = [
        [tirx.BufferRegion(value.source, _bounding(sources, analyzer))],
        [tirx.BufferRegion(block.body.buffer, _bounding(targets, analyzer))],
    ]
    loops = [*((str(v.name).removeprefix("v_"), 1, v) for v in starts), *loops]
    iterators = [
        tirx.IterVar(tvm.ir.Range(0, extent), variable, tirx.IterVar.DataPar, "")
        for _, extent, variable in loops
    ]
    apart = {_ALIGN: [[0, 0, *_APART]]} if transform.unrolled == (0,) else {}
    new_block = tvm.s_tir.SBlock(iterators, region[0], region[1], block.name_hint, body, annotations=apart)
    outer = [tirx.Var(name, "int32") for name, _, _ in loops]
    nest: Any = tvm.s_tir.SBlockRealize(outer, True, new_block)
    for variable, (_, extent, _) in reversed(list(zip(outer, loops, strict=True))):
        nest = tirx.For(variable, 0, extent, tirx.ForKind.SERIAL, nest)
    assert not loads_of(body) or nest is not None
    return nest


def _straight_line(
    matrix: Matrix, source: Any, sources: list[list[Any]], target: Any, targets: list[list[Any]]
) -> Any:
    outputs, inputs = len(matrix), len(matrix[0])
    dtype = str(target.dtype)
    statements: list[Any] = []

    def bind(name: str, value: Any) -> Any:
        variable = tirx.Var(name, dtype)
        statements.append(tirx.Bind(variable, value))
        return variable

    if len(sources) == inputs:
        line = [bind(f"d{a}", tirx.BufferLoad(source, at)) for a, at in enumerate(sources)]
        for value, at in zip(combinations(matrix, line, dtype, bind, "r"), targets, strict=True):
            statements.append(tirx.BufferStore(target, value, at))
        return tirx.SeqStmt(statements)
    half: list[list[Any]] = [[] for _ in range(outputs)]
    for b in range(inputs):  # column by column, so that few elements are live at once
        column = [bind(f"d{a}{b}", tirx.BufferLoad(source, sources[a * inputs + b])) for a in range(inputs)]
        for e, value in enumerate(combinations(matrix, column, dtype, bind, f"c{b}")):
            half[e].append(bind(f"t{e}{b}", value))
    for e in range(outputs):
        for v, value in enumerate(combinations(matrix, half[e], dtype, bind, f"r{e}")):
            statements.append(tirx.BufferStore(target, value, targets[e * outputs + v]))
    return tirx.SeqStmt(statements)


def combinations(
    matrix: Matrix,
    values: Sequence[Any],
    dtype: str,
    bind: Callable[[str, Any], Any],
    name: str,
) -> list[Any]:
    """Return one combination for each row; rows of opposite points share sum and difference.

    Two rows ``s + d`` and ``s - d`` cost the terms of s and d once, and two additions.

    Args:
        matrix: Coefficients.
        values: What is combined.
        dtype: Element type.
        bind: Names a value, so that it is computed once.
        name: Prefix of such names.
    """
    found: list[Any] = [None] * len(matrix)
    for i, j in _opposites(matrix):
        parts = []
        for kind, sign in (("s", 1.0), ("d", -1.0)):
            row = [(p + sign * q) / 2 for p, q in zip(matrix[i], matrix[j], strict=True)]
            parts.append(bind(f"{name}{kind}{i}", combination(row, values, dtype)))
        found[i], found[j] = parts[0] + parts[1], parts[0] - parts[1]
    return [
        combination(row, values, dtype) if known is None else known
        for row, known in zip(matrix, found, strict=True)
    ]


def _opposites(matrix: Matrix) -> list[tuple[int, int]]:
    """Pair the rows whose half sum and half difference together have fewer terms than they have."""

    def terms(row: Sequence[float]) -> int:
        return sum(c != 0 for c in row)

    pairs: list[tuple[int, int]] = []
    left = list(range(len(matrix)))
    while left:
        i, *left = left
        for j in left:
            apart = terms(matrix[i]) + terms(matrix[j])
            both = zip(matrix[i], matrix[j], strict=True)
            shared = sum((p + q != 0) + (p != q) for p, q in both)
            if shared + 2 < apart:
                pairs.append((i, j))
                left.remove(j)
                break
    return pairs


def combination(coefficients: Sequence[float], values: Sequence[Any], dtype: str) -> Any:
    """Return ``sum(c * v)``, with nothing multiplied by 1 and nothing added for 0."""
    result: Any = None
    for coefficient, value in sorted(zip(coefficients, values, strict=True), key=lambda t: -t[0]):
        if coefficient == 0:
            continue
        size = value if abs(coefficient) == 1 else value * tirx.const(abs(coefficient), dtype)
        if result is None:
            result = size if coefficient > 0 else tirx.const(0, dtype) - size
        else:
            result = result + size if coefficient > 0 else result - size
    return tirx.const(0, dtype) if result is None else result


def _bounding(indices: list[list[Any]], analyzer: Any) -> list[Any]:
    """Ranges that hold indices which differ by constants."""
    ranges = []
    for d in range(len(indices[0])):
        distances = [constant(analyzer.simplify(i[d] - indices[0][d])) for i in indices]
        known = [n for n in distances if n is not None]
        assert len(known) == len(distances), "elements of one transform are at constant distances"
        start = analyzer.simplify(indices[0][d] + min(known))
        ranges.append(tvm.ir.Range.from_min_extent(start, max(known) - min(known) + 1))
    return ranges
