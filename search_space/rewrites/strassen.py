"""Strassen's algorithm: the product of two matrices by seven products of their quarters instead of eight.

before (``weight`` is known when the model is compiled)::

    for m, n, k:  out[m, n] += x[m, k] * weight[k, n]

after (halves of rows, of columns and of k; q counts the seven products)::

    for m, k:        tiles[q, m, k]     = sum of quarters of x          for all q
    for n, k:        kernel[j, q, k, n] = sum of quarters of weight     for all q (once)
    for q, m, n, k:  product[j, q, m, n] += tiles[q, m, k] * kernel[j, q, k, n]
    for m, n:        out[quarter, j, m, n] = sum of products            for all four quarters

Columns lie in panels j of a few vectors, so that what one panel needs of the kernel is contiguous and its
products stay in the second cache level until they are added up (``rules/tile_parts.py``). Rows of odd
number are halves that share a row. The kernel is 7/4 times as large as the weights.
V. Strassen, *Gaussian elimination is not optimal* (1969); of its kind it needs few additions of operands,
and the error grows least (N. Higham, *Accuracy and stability of numerical algorithms*, section 23.2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction
from search_space.rewrites.emit import Emitter, Layout
from search_space.rewrites.fuse_rows import joined, separated
from search_space.rewrites.program import Axis, Program, substitute
from search_space.rewrites.unrolled import Matrix, Transform, emit_written_out
from search_space.rules.places import TILE_PANELS
from search_space.tvm_api import te, tirx

PRODUCTS = 7
DATA: Matrix = (
    (1, 0, 0, 1),
    (0, 0, 1, 1),
    (1, 0, 0, 0),
    (0, 0, 0, 1),
    (1, 1, 0, 0),
    (-1, 0, 1, 0),
    (0, 1, 0, -1),
)
"""Quarters of the data (upper left, upper right, lower left, lower right) in each product."""
WEIGHT: Matrix = (
    (1, 0, 0, 1),
    (1, 0, 0, 0),
    (0, 1, 0, -1),
    (-1, 0, 1, 0),
    (0, 0, 0, 1),
    (1, 1, 0, 0),
    (0, 0, 1, 1),
)
RESULT: Matrix = (
    (1, 0, 0, 1, -1, 0, 1),
    (0, 0, 1, 0, 1, 0, 0),
    (0, 1, 0, 1, 0, 0, 0),
    (1, -1, 1, 0, 0, 1, 0),
)
"""Products in each quarter of the result."""
PANELS = (48, 64, 32)
"""Columns of a panel: three vectors feed a register tile of eight rows."""
MOST_PANEL_BYTES = 640 << 10
"""The products of a panel; they stay in a second cache level of 1 MiB."""
LEAST_PANELS = 4
"""Fewer panels than this do not keep the cores busy."""
LEAST_SIZE, LEAST_ROWS = 300, 64
"""K * N / (K + N) and rows from which it is offered: each element of the data is summed up for an eighth of N
multiply-adds less, each of the result for an eighth of K."""
MOST_ROW_WASTE = 1.03
"""Rows of both halves over the rows that there are."""
TOLERANCE_SCALE = 3.0
"""How much larger than that of a plain sum the rounding error may be; measured for 64 x 512 x 768: 1.1."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Which iterators play which part.

    Attributes:
        rows: The row iterators of the result.
        row: The one of them that is halved.
        column: The column iterator.
        term: The reduction iterator.
        panel: Columns of a panel.
    """

    rows: tuple[Axis, ...]
    row: Axis
    column: Axis
    term: Axis
    panel: int

    @property
    def half_rows(self) -> int:
        """Steps of the halved iterator in each half."""
        return -(-self.row.extent // 2)

    @property
    def second_half(self) -> int:
        """Where the second half begins: a step early if the extent is odd."""
        return self.row.extent - self.half_rows

    @property
    def panels(self) -> int:
        """Panels of each half of the columns."""
        return self.column.extent // 2 // self.panel

    @property
    def row_extents(self) -> tuple[int, ...]:
        """Extents of the rows of one half."""
        return tuple(self.half_rows if a is self.row else a.extent for a in self.rows)


def strassen(program: Program, weights: Sequence[Any]) -> Rewrite | None:
    """Rewrite a large product with weights.

    Args:
        program: The program.
        weights: Its parameters that are known when the model is compiled.

    Returns:
        The rewrite, or None if the anchor is another computation, or too small to gain.
    """
    contraction = anchor_contraction(program)
    geometry = _geometry(contraction, weights) if contraction is not None else None
    if contraction is None or geometry is None:
        return None
    func = emit_written_out(program, contraction.stage, lambda e: _compute(e, contraction, geometry))
    return Rewrite("strassen", func, TOLERANCE_SCALE)


def _geometry(contraction: Contraction, weights: Sequence[Any]) -> Geometry | None:
    data, weight, stage = contraction.data, contraction.weight, contraction.stage
    if contraction.windows or contraction.batch or not contraction.is_plain_product:
        return None
    is_float = {data.dtype, weight.dtype, stage.dtype} == {"float32"}
    if not is_float or not any(weight.direct.same_as(w) for w in weights):
        return None
    columns, terms = ([a for a in axes if a.extent > 1] for axes in (contraction.columns, stage.reduction))
    if len(columns) != 1 or len(terms) != 1 or stage.axes[-1] is not columns[0]:
        return None
    if len(contraction.columns) + len(stage.reduction) > 2 or columns[0].extent % 2 or terms[0].extent % 2:
        return None
    row = next((a for a in contraction.rows if a.extent > 1), None)
    rows = prod(a.extent for a in contraction.rows)
    if row is None or 2 * -(-row.extent // 2) > MOST_ROW_WASTE * row.extent or rows < LEAST_ROWS:
        return None
    size = columns[0].extent * terms[0].extent / (columns[0].extent + terms[0].extent)
    if size < LEAST_SIZE:
        return None
    held = PRODUCTS * rows // 2 * 4
    half = columns[0].extent // 2
    fitting = [p for p in PANELS if half % p == 0 and half // p >= LEAST_PANELS]
    panel = next((p for p in fitting if held * p <= MOST_PANEL_BYTES), None)
    return None if panel is None else Geometry(contraction.rows, row, columns[0], terms[0], panel)


def _compute(
    emitter: Emitter, contraction: Contraction, geometry: Geometry
) -> tuple[Any, Layout, list[Transform]]:
    stage, rows = contraction.stage, prod(geometry.row_extents)
    tiles, kernel = _tiles(emitter, contraction, geometry), _kernel(emitter, contraction, geometry)
    term = te.reduce_axis((0, geometry.term.extent // 2), name=geometry.term.name)

    def product(j: Any, q: Any, row: Any, column: Any) -> Any:
        return te.sum(tiles(q, row, term.var) * kernel(j, q, term.var, column), axis=term)

    layout = _layout(stage.axes, geometry)
    panels = f"{geometry.column.name}_panel"
    products = emitter.compute(
        (geometry.panels, PRODUCTS, rows, geometry.panel),
        product,
        stage.name,
        (panels, "q", "m", geometry.column.name),
        marks={TILE_PANELS: [0, layout.names.index(panels)]},
    )
    points = te.reduce_axis((0, PRODUCTS), name="q")

    def inverse(*index: Any) -> Any:
        given = dict(zip(layout.names, index, strict=True))
        row = joined([given[a.name] for a in geometry.rows], geometry.row_extents)
        return te.sum(products(given[panels], points.var, row, given[geometry.column.name]), axis=points)

    result = emitter.compute(layout.shape, inverse, f"{stage.name}_inverse", layout.names)
    halves = tuple(layout.names.index(f"{a.name}_half") for a in (geometry.row, geometry.column))
    transforms = [
        Transform(str(kernel.op.name), WEIGHT, (1,)),
        Transform(
            str(tiles.op.name),
            DATA,
            (0,),
            1,
            geometry.row_extents,
            tuple(a.name for a in geometry.rows),
        ),
        Transform(str(result.op.name), RESULT, halves, counts=(2, 2)),
    ]
    return result, layout, transforms


def _tiles(emitter: Emitter, contraction: Contraction, geometry: Geometry) -> Any:
    """The sums of quarters of the data, [q, m, k]."""
    data, half = contraction.data, geometry.term.extent // 2
    quarter = te.reduce_axis((0, 4), name="a")

    def gather(_: Any, row: Any, term: Any) -> Any:
        upper, left = tirx.floordiv(quarter.var, 2), tirx.floormod(quarter.var, 2)
        bound = [(geometry.term.var, left * half + term)]
        for axis, i in zip(geometry.rows, separated(row, geometry.row_extents), strict=True):
            bound.append((axis.var, upper * geometry.second_half + i if axis is geometry.row else i))
        return te.sum(
            emitter.read(data.direct, [substitute(i, bound) for i in data.direct_indices]), axis=quarter
        )

    shape = (PRODUCTS, prod(geometry.row_extents), half)
    name = f"{contraction.stage.name}_tiles"
    return emitter.compute(shape, gather, name, ("q", "m", geometry.term.name))


def _kernel(emitter: Emitter, contraction: Contraction, geometry: Geometry) -> Any:
    """The sums of quarters of the weight, [panel, q, k, column]."""
    weight = contraction.weight
    terms, columns = geometry.term.extent // 2, geometry.column.extent // 2
    quarter = te.reduce_axis((0, 4), name="a")

    def gather(panel: Any, _: Any, term: Any, column: Any) -> Any:
        upper, left = tirx.floordiv(quarter.var, 2), tirx.floormod(quarter.var, 2)
        bound = [
            (geometry.term.var, upper * terms + term),
            (geometry.column.var, left * columns + panel * geometry.panel + column),
        ]
        return te.sum(
            emitter.read(weight.direct, [substitute(i, bound) for i in weight.direct_indices]), axis=quarter
        )

    shape = (geometry.panels, PRODUCTS, terms, geometry.panel)
    names = (f"{geometry.column.name}_panel", "q", geometry.term.name, geometry.column.name)
    return emitter.compute(shape, gather, f"{contraction.stage.name}_kernel", names)


def _layout(axes: Sequence[Axis], geometry: Geometry) -> Layout:
    """The result with its rows in two halves, and its columns in two halves of panels."""
    shape: list[int] = []
    names: list[str] = []
    for axis in axes:
        if axis is geometry.row:
            shape += [2, geometry.half_rows]
            names += [f"{axis.name}_half", axis.name]
        elif axis is geometry.column:
            shape += [2, geometry.panels, geometry.panel]
            names += [f"{axis.name}_half", f"{axis.name}_panel", axis.name]
        else:
            shape.append(axis.extent)
            names.append(axis.name)
    columns, panel = geometry.column.extent // 2, geometry.panel

    def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
        result: list[Any] = []
        for axis, i in zip(axes, index, strict=True):
            if axis is geometry.row:
                lower = tirx.min(tirx.floordiv(i, geometry.second_half), 1)
                result += [lower, i - lower * geometry.second_half]
            elif axis is geometry.column:
                inside = tirx.floormod(i, columns)
                result += [
                    tirx.floordiv(i, columns),
                    tirx.floordiv(inside, panel),
                    tirx.floormod(inside, panel),
                ]
            else:
                result.append(i)
        return tuple(result)

    def to_old(index: tuple[Any, ...]) -> tuple[Any, ...]:
        rest, result = list(index), []
        for axis in axes:
            if axis is geometry.row:
                result.append(rest.pop(0) * geometry.second_half + rest.pop(0))
            elif axis is geometry.column:
                result.append(rest.pop(0) * columns + rest.pop(0) * panel + rest.pop(0))
            else:
                result.append(rest.pop(0))
        return tuple(result)

    return Layout(tuple(shape), tuple(names), to_new, to_old, is_exact=geometry.row.extent % 2 == 0)
