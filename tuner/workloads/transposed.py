"""Transposed convolution without the products with zeros.

Spreading the input with zeros and convolving it multiplies ``1 - 1/stride^2`` of the time by
zero. Here the output is split into ``stride x stride`` phases; every phase is an ordinary
convolution with the taps of the kernel that meet data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.tvm_api import Schedule, te
from tuner.workloads.convolution import pad
from tuner.workloads.extents import extent_like, reduction, shape_of

_PHASES = "phases"


def transposed(
    data: Any,
    weight: Any,
    strides: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    extra: Sequence[int] = (0, 0),
    out_dtype: str = "float32",
) -> Any:
    """Describe a two-dimensional transposed convolution; see :func:`lay_out_phases`.

    Args:
        data: [N, H, W, CI].
        weight: [KH, KW, CI, CO], taps in the order of the forward convolution.
        strides: Distance between the outputs of neighbouring inputs.
        before: Output rows and columns to drop at the start.
        after: Output rows and columns to drop at the end.
        extra: Output rows and columns to add at the end.
        out_dtype: Element type of products, sums and result.

    Returns:
        [N, (H - 1) * stride - before - after + KH + extra, ..., CO], once the finished
        PrimFunc went through :func:`lay_out_phases`.
    """
    batch, *extents, channels = shape_of(data)
    *kernel, _, filters = shape_of(weight)
    size = extent_like(data)
    # Output position h = stride * q + r takes tap (r + before) % stride + stride * t of input
    # position q + (r + before) // stride - t.
    taps = [-(-k // s) for k, s in zip(kernel, strides, strict=True)]
    sizes = [
        (e - 1) * s - b - a + k + x
        for e, s, b, a, k, x in zip(extents, strides, before, after, kernel, extra, strict=True)
    ]
    quotients = [-(-z // s) for z, s in zip(sizes, strides, strict=True)]
    front = [max(0, t - 1 - b // s) for t, b, s in zip(taps, before, strides, strict=True)]
    back = [
        max(0, q + (s - 1 + b) // s - e)
        for q, s, b, e in zip(quotients, strides, before, extents, strict=True)
    ]
    padded = pad(data, [0, *front, 0], [0, *back, 0])
    missing = [t * s - k for t, s, k in zip(taps, strides, kernel, strict=True)]
    full = pad(weight, [0, 0, 0, 0], [*missing, 0, 0], name="weight_padded")
    th, tw = (reduction(size, t, name) for t, name in zip(taps, ("th", "tw"), strict=True))
    ci = reduction(size, channels, "ci")
    offset = [[(r + b) // s for r in range(s)] for b, s in zip(before, strides, strict=True)]
    phase = [[(r + b) % s for r in range(s)] for b, s in zip(before, strides, strict=True)]

    def body(n: Any, qh: Any, rh: Any, qw: Any, rw: Any, co: Any) -> Any:
        rows = qh + _table(offset[0], rh, before[0], strides[0], quotient=True) - th + front[0]
        columns = qw + _table(offset[1], rw, before[1], strides[1], quotient=True) - tw + front[1]
        row_tap = _table(phase[0], rh, before[0], strides[0], quotient=False) + strides[0] * th
        column_tap = _table(phase[1], rw, before[1], strides[1], quotient=False) + strides[1] * tw
        left = padded[n, rows, columns, ci].astype(out_dtype)
        right = full[row_tap, column_tap, ci, co].astype(out_dtype)
        return te.sum(left * right, axis=[th, tw, ci])

    sh, sw = strides
    phases = te.compute(
        tuple(map(size, (batch, quotients[0], sh, quotients[1], sw, filters))), body, name=_PHASES
    )
    if all(z == q * s for z, q, s in zip(sizes, quotients, strides, strict=True)):
        return phases  # lay_out_phases gives it the shape of the output
    return te.compute(
        tuple(map(size, (batch, *sizes, filters))),
        lambda n, h, w, co: phases[n, h // sh, h % sh, w // sw, w % sw, co],
        name="conv2d_transpose",
    )


def spread(
    data: Any, weight: Any, before: Sequence[int], after: Sequence[int], out_dtype: str = "float32"
) -> Any:
    """Describe a transposed convolution of one position per image: every output meets one tap.

    As :func:`transposed` it would read zeros around the position once a tap.

    Args:
        data: [N, 1, 1, CI].
        weight: [KH, KW, CI, CO], taps in the order of the forward convolution.
        before: Output rows and columns to drop at the start.
        after: Output rows and columns to drop at the end.
        out_dtype: Element type of products, sums and result.

    Returns:
        [N, KH - before - after, ..., CO].
    """
    size = extent_like(data)
    batch, _, _, channels = shape_of(data)
    *kernel, _, filters = shape_of(weight)
    sizes = [k - b - a for k, b, a in zip(kernel, before, after, strict=True)]
    ci = reduction(size, channels, "ci")

    def body(n: Any, h: Any, w: Any, co: Any) -> Any:
        left = data[n, 0, 0, ci].astype(out_dtype)
        return te.sum(left * weight[h + before[0], w + before[1], ci, co].astype(out_dtype), axis=[ci])

    return te.compute(tuple(map(size, (batch, *sizes, filters))), body, name="conv2d_transpose")


def lay_out_phases(func: Any) -> Any:
    """Store the phases where the output wants them.

    Where the stride divides the output the phases are the output; elsewhere a plain copy follows.

    Args:
        func: A PrimFunc made from :func:`transposed`.

    Returns:
        The same function; the convolution still iterates over (q, r) but writes q * stride + r.
    """
    schedule = Schedule(func)
    block = schedule.get_sblock(_PHASES)
    _, _, sh, _, sw, _ = (int(e) for e in schedule.get(block).writes[0].source.shape)
    schedule.transform_layout(
        block,
        ("write", 0),
        lambda n, qh, rh, qw, rw, co: (n, qh * sh + rh, qw * sw + rw, co),
    )
    return schedule.mod["main"]


def _table(values: Sequence[int], index: Any, shift: int, stride: int, *, quotient: bool) -> Any:
    """Write ``(index + shift) // stride`` or ``%`` as an affine expression where it is one."""
    step = values[1] - values[0] if len(values) > 1 else 0
    if all(value == values[0] + step * i for i, value in enumerate(values)):
        return index * step + values[0] if step else values[0]
    return (index + shift) // stride if quotient else (index + shift) % stride
