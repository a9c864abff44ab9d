"""Fuse output axes that run through the data and the result in the same order.

before (a convolution with a 1x1 kernel, or a matmul on a batch of matrices)::

    for n, h, w, co, ci:  out[n, h, w, co] += x[n, h, w, ci] * weight[ci, co]

after::

    for m, co, ci:        out[m // (H*W), m // W % H, m % W, co] += x[..., ci] * weight[ci, co]

Intermediate buffers become [M, C]; parameters keep their shape and are reached by division and
remainder, which cancel when addresses are computed. Element-wise consumers run over the same axes.
Nothing of an extent such as 7 is left: m has 49, 196 or 3136 iterations, and what still has no good
tile may be covered by overlapping ones (see ``overlap``).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction, without_copies
from search_space.rewrites.emit import Emitter, Layout, combine, emit, reduce_axes
from search_space.rewrites.overlap import Chooser, covered, label_of
from search_space.rewrites.program import Axis, Program, Stage
from search_space.tvm_api import tvm


def fuse_rows(program: Program, choose: Chooser | None = None) -> Rewrite | None:
    """Fuse the longest run of row axes of the anchor.

    Args:
        program: The program.
        choose: Chooses covers of the fused result's axes.

    Returns:
        The rewrite, or None if fewer than two axes can be fused or no cover is chosen.
    """
    contraction = anchor_contraction(program)
    if contraction is None or contraction.windows or contraction.data.conditions:
        return None
    run = _longest_run(contraction) if contraction.is_plain_product else None
    if run is None:
        return None
    fused = fused_layout(contraction.stage, *run)
    covers = choose(fused.shape, run[0]) if choose is not None else {}
    if choose is not None and not covers:
        return None
    layout = covered(fused, covers)
    func = emit(program, [(contraction.stage, lambda e: _compute(e, contraction, layout))])
    return Rewrite("-".join(("rows", *([label_of(fused, covers)] if covers else []))), func, 1.0)


def fused_layout(stage: Stage, first: int, last: int) -> Layout:
    """Return the layout in which the output axes ``first`` to ``last`` (inclusive) are one."""
    extents = [a.extent for a in stage.axes[first : last + 1]]
    shape = (*stage.shape[:first], prod(extents), *stage.shape[last + 1 :])
    names = tuple(a.name for a in stage.axes)

    def to_new(index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*index[:first], joined(index[first : last + 1], extents), *index[last + 1 :])

    def to_old(index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*index[:first], *separated(index[first], extents), *index[first + 1 :])

    return Layout(shape, (*names[:first], "m", *names[last + 1 :]), to_new, to_old)


def joined(index: Sequence[Any], extents: Sequence[int]) -> Any:
    """Return the row-major position of an index."""
    position = index[0]
    for i, extent in zip(index[1:], extents[1:], strict=True):
        position = position * extent + i
    return position


def separated(position: Any, extents: Sequence[int]) -> tuple[Any, ...]:
    """Return the index at a row-major position; the inverse of :func:`joined`."""
    index: list[Any] = []
    for d, extent in enumerate(extents):
        inner = prod(extents[d + 1 :])
        part = tvm.tirx.floordiv(position, inner) if inner > 1 else position
        if extent == 1:
            part = tvm.tirx.const(0, "int32")
        elif prod(extents[:d]) > 1:
            part = tvm.tirx.floormod(part, extent)
        index.append(part)
    return tuple(index)


def _longest_run(contraction: Contraction) -> tuple[int, int] | None:
    """Find consecutive output axes that index consecutive dimensions of the data, whole ones."""
    best: tuple[int, int] | None = None
    best_size = 1
    axes = contraction.stage.axes
    for first in range(len(axes)):
        for last in range(first + 1, len(axes)):
            run = axes[first : last + 1]
            size = prod(a.extent for a in run)
            if size > best_size and sum(a.extent > 1 for a in run) > 1 and _is_run(contraction, run):
                best, best_size = (first, last), size
    return best


def _is_run(contraction: Contraction, run: Sequence[Axis]) -> bool:
    if any(not any(a is r for r in contraction.rows) for a in run):
        return False
    dims = [contraction.data_dim(a) for a in run]
    if any(d is None for d in dims) or dims != list(range(dims[0] or 0, (dims[0] or 0) + len(run))):
        return False
    for axis, d in zip(run, dims, strict=True):
        dim = contraction.data.dims[d or 0]
        if dim is None or not dim.is_plain or dim.extent != axis.extent:
            return False
    return True


def _compute(emitter: Emitter, contraction: Contraction, layout: Layout) -> tuple[Any, Layout]:
    stage = contraction.stage
    reduction = reduce_axes(stage.reduction)
    assert layout.to_old is not None
    to_old = layout.to_old
    value = without_copies(contraction)

    def body(*index: Any) -> Any:
        bound = [(a.var, i) for a, i in zip(stage.axes, to_old(index), strict=True)]
        bound += [(a.var, r.var) for a, r in zip(stage.reduction, reduction, strict=True)]
        return combine("sum", emitter.convert(value, bound), reduction)

    return emitter.compute(layout.shape, body, stage.name, layout.names), layout
