"""A product of fragments as numbers: the product, its two fetches, its write-back, for a whole population."""

from __future__ import annotations

import numpy as np

from search_space.decisions import Columns
from search_space.gpu.tensor.tiling import LANES, TensorTiling
from search_space.gpu.tile_nest import copy_nest
from search_space.nest import Access, Binding, Floats, Launch, LoopKind, LoopNest, Scope
from search_space.tensorize.wmma import EDGE

_PIECE_BYTES = 16
"""What one lane reads of a fragment at once."""

_BINDING = (Binding.BLOCK, *(Binding.THREAD,) * 4, *(Binding.SERIAL,) * 4)
"""Blocks; warps along rows and along columns, lanes along rows and pieces; stages, fragments along the terms,
along the rows, along the columns."""
_ROW_WARP, _COLUMN_WARP, _LANE, _PIECE, _STAGE, _TERM, _ROW, _COLUMN = range(1, 9)


def tensor_nests(tiling: TensorTiling, columns: Columns) -> tuple[LoopNest, ...]:
    """Describe the kernel of every candidate."""
    return (_product(tiling, columns), *_fetches(tiling, columns), _write_back(tiling, columns))


def _blocks(tiling: TensorTiling, columns: Columns) -> Floats:
    return tiling.batch * tiling.tile(columns, "rows")[:, 0] * tiling.tile(columns, "columns")[:, 0]


def _threads(tiling: TensorTiling, columns: Columns) -> Floats:
    return tiling.warps(columns) * LANES


def _fetches(tiling: TensorTiling, columns: Columns) -> list[LoopNest]:
    """Describe the copies of both factors into shared memory."""
    regions = tiling.regions(columns)
    second = (tiling.terms, tiling.columns)
    shapes = ((tiling.rows, tiling.terms), second[::-1] if tiling.is_transposed else second)
    executions = _blocks(tiling, columns) * tiling.tile(columns, "terms")[:, 0]
    return [
        copy_nest(
            factor.name,
            factor.element_bytes,
            shapes[position],
            regions[position],
            tiling.width(position, columns),
            _threads(tiling, columns),
            tiling.bank_pitch(position, columns),
            executions,
            factor.flops,
        )
        for position, factor in enumerate(tiling.factors)
    ]


def _write_back(tiling: TensorTiling, columns: Columns) -> LoopNest:
    """Describe the way of a tile of the result from shared memory through the epilogue."""
    rows, cols = tiling.tile(columns, "rows"), tiling.tile(columns, "columns")
    shape = np.stack([rows[:, 1] * rows[:, 2] * EDGE, cols[:, 1] * cols[:, 2] * EDGE], axis=1)
    return copy_nest(
        f"{tiling.name}.out",
        tiling.result_bytes,
        (tiling.rows, tiling.columns),
        shape,
        np.full(columns.size, float(tiling.out_width)),
        _threads(tiling, columns),
        shape[:, 1],
        _blocks(tiling, columns),
        tiling.out_flops,
        "epilogue",
    )


def _product(tiling: TensorTiling, columns: Columns) -> LoopNest:
    """Describe the fragments: a body is one lane's share of one product of fragments."""
    rows, cols = tiling.tile(columns, "rows"), tiling.tile(columns, "columns")
    terms = tiling.tile(columns, "terms")
    ones = np.ones(columns.size)
    warps = [rows[:, 1], cols[:, 1], ones * EDGE, ones * LANES / EDGE]
    fragments = [terms[:, 0], terms[:, 1], rows[:, 2], cols[:, 2]]
    extents = np.stack([_blocks(tiling, columns), *warps, *fragments], axis=1)
    kinds = np.zeros(len(_BINDING), dtype=np.int8)
    kinds[[_STAGE, _TERM]] = int(LoopKind.REDUCTION)
    none = np.zeros(extents.shape, dtype=bool)
    unrolled = none.copy()
    unrolled[:, [_ROW, _COLUMN]] = True
    return LoopNest(
        stage="compute",
        extents=extents,
        kinds=kinds,
        parallel=none,
        unrolled=unrolled,
        vectorised=none,
        accesses=tuple(_fragment_loads(tiling, position, columns) for position in range(2)),
        flops=2.0 * EDGE * EDGE * tiling.term_edge / LANES,
        transcendentals=0.0,
        executions=ones,
        workers=np.zeros(columns.size),
        predicated=np.zeros(columns.size),
        binding=np.array([int(place) for place in _BINDING], dtype=np.int8),
        launch=_launch(tiling, columns),
    )


def _fragment_loads(tiling: TensorTiling, position: int, columns: Columns) -> Access:
    """Describe how lanes load one factor's fragments: they walk its rows, two pieces a row."""
    factor = tiling.factors[position]
    piece = _PIECE_BYTES / factor.element_bytes
    own = tiling.tile(columns, "rows" if position == 0 else "columns")
    along, across = (_ROW_WARP, _ROW) if position == 0 else (_COLUMN_WARP, _COLUMN)
    is_straight = position == 0 or tiling.is_transposed
    outer, inner = (0, 1) if is_straight else (1, 0)
    step = EDGE / (1.0 if is_straight else piece)
    moves = np.zeros((columns.size, 2, len(_BINDING)))
    moves[:, 0, _LANE], moves[:, 1, _PIECE] = 1.0, 1.0
    moves[:, outer, along] = own[:, 2] * step
    moves[:, outer, across] = step
    moves[:, inner, _TERM] = tiling.term_edge / (piece if is_straight else 1.0)
    return Access(
        f"{factor.name}.shared",
        _PIECE_BYTES,
        False,
        False,
        tiling.regions(columns)[position] / np.array([1.0, piece]),
        moves,
        scope=Scope.SHARED,
        pitch=tiling.bank_pitch(position, columns) / piece,
    )


def _launch(tiling: TensorTiling, columns: Columns) -> Launch:
    return Launch(
        blocks=_blocks(tiling, columns),
        threads=_threads(tiling, columns),
        shared_bytes=tiling.shared_bytes(columns),
        registers=tiling.registers(columns),
        stages=tiling.tile(columns, "terms")[:, 0],
        pipeline=columns.choice(tiling.slot_name("pipeline")).astype(np.float64),
        tensor_share=np.ones(columns.size),
        # Halves, quarters and double words pass a tensor core in as many bytes a cycle.
        tensor_rate=2.0 / tiling.factors[0].element_bytes,
    )
