"""Convolution as a matrix product on copied patches.

before::

    for n, h, w, co, rh, rw, ci:
        out[n, h, w, co] += x[n, s*h + d*rh - p, s*w + d*rw - p, ci] * weight[rh, rw, ci, co]

after (rows m = (n, h, w); the borders' zeros are part of the copy)::

    for m, rh, rw, ci:      patches[m, rh, rw, ci] = x[...] if inside else 0
    for m, co, rh, rw, ci:  out[m // (H*W), ...] += patches[m, rh, rw, ci] * weight[rh, rw, ci, co]

Where few channels make short innermost loops (3 in a first layer), rh, rw and ci are one reduction
axis. Where rows are innermost in the result (channels first), they are innermost in the patches too.
Axes that have no good tile may be covered by overlapping ones (see ``overlap``).
K. Chellapilla et al., *High performance convolutional neural networks* (2006).
"""

from __future__ import annotations

from math import prod
from typing import Any

from search_space.rewrites.affine import axes_in
from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction
from search_space.rewrites.emit import Emitter, Layout, combine, emit, guarded, reduce_axes
from search_space.rewrites.fuse_rows import fused_layout, separated
from search_space.rewrites.overlap import Chooser, covered, label_of
from search_space.rewrites.padding import is_regular
from search_space.rewrites.program import Axis, Program, substitute
from search_space.tvm_api import te, tvm

SHORT = 16
"""Innermost reductions shorter than this are fused with the taps."""
MAX_PATCH_BYTES = 128 << 20
"""Patches larger than this are not offered."""


def im2col(program: Program, choose: Chooser | None = None) -> Rewrite | None:
    """Rewrite a convolution as patches and a matrix product.

    Args:
        program: The program.
        choose: Chooses covers of the matrix product's axes.

    Returns:
        The rewrite, or None if the anchor is no convolution, the patches would be too large or no cover
        is chosen.
    """
    contraction = anchor_contraction(program)
    if (
        contraction is None
        or not is_regular(contraction)
        or contraction.batch
        or not contraction.columns
        or not contraction.rows
    ):
        return None
    dims = contraction.data.dims
    if not contraction.windows or any(dims[d].divisor > 1 for d in contraction.windows):  # type: ignore[union-attr]
        return None
    run = _row_run(contraction)
    plain = fused_layout(contraction.stage, *run)
    elements = prod(a.extent for a in (*contraction.rows, *contraction.stage.reduction))
    if elements * (tvm.DataType(contraction.data.dtype).bits // 8) > MAX_PATCH_BYTES:
        return None
    covers = choose(plain.shape, run[0]) if choose is not None else {}
    if choose is not None and not covers:
        return None
    layout = covered(plain, covers)
    rows = plain.shape[run[0]]
    func = emit(program, [(contraction.stage, lambda e: _compute(e, contraction, layout, run, rows))])
    return Rewrite("-".join(("im2col", *([label_of(plain, covers)] if covers else []))), func, 1.0)


def _row_run(contraction: Contraction) -> tuple[int, int]:
    """The largest run of neighbouring row axes in the result."""
    axes = contraction.stage.axes
    is_row = [any(a is r for r in contraction.rows) for a in axes]
    runs = [
        (first, last)
        for first in range(len(axes))
        for last in range(first, len(axes))
        if all(is_row[first : last + 1])
    ]
    return max(runs, key=lambda r: (prod(a.extent for a in axes[r[0] : r[1] + 1]), r[1] - r[0]))


def _compute(
    emitter: Emitter, contraction: Contraction, layout: Layout, run: tuple[int, int], rows: int
) -> tuple[Any, Layout]:
    stage, data, weight = contraction.stage, contraction.data, contraction.weight
    first, last = run
    fused = stage.axes[first : last + 1]
    others = [a for a in contraction.rows if not any(a is f for f in fused)]
    reduction = _in_weight_order(contraction)
    together = reduction[-1].extent < SHORT and len(reduction) > 1
    extents = [a.extent for a in reduction]
    inner = [prod(extents)] if together else extents
    inner_names = ["k"] if together else [a.name for a in reduction]
    rows_last = last == len(stage.axes) - 1

    def reduction_index(position: tuple[Any, ...]) -> list[tuple[Any, Any]]:
        index = separated(position[0], extents) if together else position
        return [(a.var, i) for a, i in zip(reduction, index, strict=True)]

    def copy(*index: Any) -> Any:
        head, tail = index[: len(others)], index[len(others) :]
        m, inside = (tail[-1], tail[:-1]) if rows_last else (tail[0], tail[1:])
        bound = [(a.var, i) for a, i in zip(others, head, strict=True)]
        bound += zip((a.var for a in fused), separated(m, [a.extent for a in fused]), strict=True)
        bound += reduction_index(inside)
        conditions = [substitute(c, bound) for c in data.conditions]
        source = [substitute(i, bound) for i in data.indices]
        return guarded(conditions, emitter.read(data.buffer, source), data.dtype)

    body_shape = [*inner, rows] if rows_last else [rows, *inner]
    body_names = [*inner_names, "m"] if rows_last else ["m", *inner_names]
    patches = emitter.compute(
        [*(a.extent for a in others), *body_shape],
        copy,
        f"{stage.name}_patches",
        [*(a.name for a in others), *body_names],
    )
    loops = [te.reduce_axis((0, inner[0]), name="k")] if together else reduce_axes(reduction)

    def product(*covered_index: Any) -> Any:
        index = layout.uncovered(covered_index)
        free = (*stage.axes[:first], *stage.axes[last + 1 :])
        bound = list(zip((a.var for a in free), (*index[:first], *index[first + 1 :]), strict=True))
        position = tuple(loop.var for loop in loops)
        head = [substitute(a.var, bound) for a in others]
        m = index[first]
        left = patches(*head, *((*position, m) if rows_last else (m, *position)))
        bound += reduction_index(position)
        right = emitter.read(weight.direct, [substitute(i, bound) for i in weight.direct_indices])
        return combine("sum", contraction.product(left, right), loops)

    return emitter.compute(layout.shape, product, stage.name, layout.names), layout


def _in_weight_order(contraction: Contraction) -> list[Axis]:
    """Reduction axes in the order in which they lie in the weight, so that both are read forwards."""
    ordered: list[Axis] = []
    for index in contraction.weight.direct_indices:
        for axis in axes_in(index, contraction.stage.reduction):
            if not any(axis is o for o in ordered):
                ordered.append(axis)
    return ordered + [a for a in contraction.stage.reduction if not any(a is o for o in ordered)]
