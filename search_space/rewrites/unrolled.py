"""Write a small linear transform out as straight-line code in one block.

before (a stub that says which elements go in and out; ``coefficients`` are not in it)::

    for u, rest, a, b:  out[u, rest] += source[f(a, b, rest)]

after (``out = left * source * right^T`` for every ``rest``, zeros and ones folded)::

    for rest:
        d00 = source[f(0, 0, rest)]; d01 = ...
        t00 = d00 - d20; ...
        out[0, rest] = t00 - t02; out[1, rest] = ...

The block has one store per output element, so whatever is left of its loops can be vectorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search_space.rewrites.fuse_rows import joined
from search_space.rewrites.program import constant, loads_of, substitute
from search_space.tvm_api import PrimFunc, tirx, tvm

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Transform:
    """What to write out, and where.

    Attributes:
        block: Name of the stub: a sum over two reduction iterators of one load.
        matrix: [outputs, inputs], applied along both dimensions.
        unrolled: Positions of the spatial iterators that count outputs: one that counts row-major
            (``outputs**2``), or two (``outputs`` each).
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
    first, second = (iv.var for iv in block.iter_vars if int(iv.iter_type) == 2)
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

    def index_at(indices: Sequence[Any], extra: Sequence[tuple[Any, int]]) -> list[Any]:
        chosen = [*bound, *((v, tirx.const(n, "int32")) for v, n in extra)]
        return [
            analyzer.simplify(substitute(i, chosen)) if hasattr(i, "ty") else tirx.const(i, "int32")
            for i in indices
        ]

    outputs, inputs = len(transform.matrix), len(transform.matrix[0])
    places = [(a, b) for a in range(inputs) for b in range(inputs)]
    results = [(e, v) for e in range(outputs) for v in range(outputs)]

    def counted_at(e: int, v: int) -> list[tuple[Any, int]]:
        values = [e * outputs + v] if len(counted) == 1 else [e, v]
        return list(zip(counted, values, strict=True))

    sources = [index_at(value.indices, [(first, a), (second, b)]) for a, b in places]
    targets = [index_at(block.body.indices, counted_at(e, v)) for e, v in results]
    body = _straight_line(transform.matrix, value.source, sources, block.body.buffer, targets)
    region = [
        [tirx.BufferRegion(value.source, _bounding(sources, analyzer))],
        [tirx.BufferRegion(block.body.buffer, _bounding(targets, analyzer))],
    ]
    iterators = [
        tirx.IterVar(tvm.ir.Range(0, extent), variable, tirx.IterVar.DataPar, "")
        for _, extent, variable in loops
    ]
    new_block = tvm.s_tir.SBlock(iterators, region[0], region[1], block.name_hint, body)
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

    element = [
        [
            bind(f"d{a}{b}", tirx.BufferLoad(source, sources[a * inputs + b]))
            for b in range(inputs)
        ]
        for a in range(inputs)
    ]  # fmt: skip
    half = [
        [
            bind(f"t{e}{b}", combination(matrix[e], [element[a][b] for a in range(inputs)], dtype))
            for b in range(inputs)
        ]
        for e in range(outputs)
    ]
    for e in range(outputs):
        for v in range(outputs):
            value = combination(matrix[v], half[e], dtype)
            statements.append(tirx.BufferStore(target, value, targets[e * outputs + v]))
    return tirx.SeqStmt(statements)


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
