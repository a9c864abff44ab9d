"""What every operator of the benchmark must return, written with NumPy and nothing of ours.

Every side's output is held against these before any of its times counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scripts.bench.problem import Array, Problem

TOLERANCE = {"float32": 2e-3, "bfloat16": 2e-3, "float16": 2e-3, "float64": 1e-9, "int8": 0.0}
"""Largest allowed error over the largest element; float32 leaves room for Winograd's transforms."""


def reference(problem: Problem, arrays: Mapping[str, Array]) -> Array:
    """Compute the output in float32 (whole numbers exactly).

    Args:
        problem: The operator.
        arrays: Its inputs by name.

    Returns:
        The output in our own layout.
    """
    exact = problem.dtype == "int8"
    wide = {name: array.astype(np.float64 if exact else np.float32) for name, array in arrays.items()}
    result = _FORMULAE[problem.operator](problem.values, wide)
    return np.asarray(result.astype(problem.output.dtype)).reshape(problem.output.shape)


def error(problem: Problem, found: Array, expected: Array) -> float:
    """Return the largest absolute difference over the largest expected element.

    Raises:
        ValueError: If the shapes differ or the output holds what is no number.
    """
    if found.shape != expected.shape:
        raise ValueError(f"{problem.text}: the output is {found.shape}, expected {expected.shape}")
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
    if not np.isfinite(difference):
        raise ValueError(f"{problem.text}: the output holds values that are no numbers")
    return float(difference / max(float(np.abs(expected).max()), 1e-30))


def convolve(
    data: Array, weight: Array, stride: int, padding: int, dilation: int = 1, groups: int = 1
) -> Array:
    """Correlate [N, *spatial, CI] with [*kernel, CI / groups, CO] in any number of dimensions."""
    rank = data.ndim - 2
    kernel = weight.shape[:rank]
    padded = np.pad(data, [(0, 0), *[(padding, padding)] * rank, (0, 0)])
    reach = tuple(dilation * (k - 1) + 1 for k in kernel)
    axes = tuple(range(1, rank + 1))
    windows = sliding_window_view(padded, reach, axis=axes)  # [N, *out, CI, *reach]
    steps = (slice(None), *[slice(None, None, stride)] * rank, slice(None))
    windows = windows[(*steps, *[slice(None, None, dilation)] * rank)]
    parts: list[Array] = []
    width, filters = weight.shape[rank], weight.shape[rank + 1] // groups
    for group in range(groups):
        source = windows[(*[slice(None)] * (rank + 1), slice(group * width, (group + 1) * width))]
        taps = weight[..., group * filters : (group + 1) * filters]
        last = source.ndim - rank
        parts.append(
            np.tensordot(source, taps, ([last - 1, *range(last, source.ndim)], [rank, *range(rank)]))
        )
    return np.concatenate(parts, axis=-1)


def _convolution(v: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    return convolve(
        a["data"], a["weight"], v["stride"], v["padding"], v.get("dilation", 1), v.get("groups", 1)
    )


def _depthwise(v: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    side, step = v["padding"], v["stride"]
    padded = np.pad(a["data"], [(0, 0), (side, side), (side, side), (0, 0)])
    reach = v["dilation"] * (v["kernel"] - 1) + 1
    windows = sliding_window_view(padded, (reach, reach), axis=(1, 2))[:, ::step, ::step]
    windows = windows[..., :: v["dilation"], :: v["dilation"]]
    return np.asarray(np.einsum("nhwcij,ijc->nhwc", windows, a["weight"]))


def _transposed(v: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    data, weight, step, side = a["data"], a["weight"], v["stride"], v["padding"]
    batch, rows, columns, _ = data.shape
    kernel = v["kernel"]
    full = np.zeros(
        (batch, (rows - 1) * step + kernel, (columns - 1) * step + kernel, weight.shape[-1]), data.dtype
    )
    for i in range(kernel):
        for j in range(kernel):
            full[:, i : i + rows * step : step, j : j + columns * step : step] += data @ weight[i, j]
    return full[:, side : full.shape[1] - side, side : full.shape[2] - side]


def _capsule(v: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    side, step, kernel = v["padding"], v["stride"], v["kernel"]
    padded = np.pad(a["data"], [(0, 0), (side, side), (side, side), (0, 0), (0, 0), (0, 0)])
    windows = sliding_window_view(padded, (kernel, kernel), axis=(1, 2))[:, ::step, ::step]
    return np.asarray(np.einsum("nhwpqcij,ijqrco->nhwpro", windows, a["weight"], optimize=True))


def _layer(v: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    out = convolve(a["data"], a["weight"], v["stride"], v["padding"], v["dilation"])
    return np.asarray(np.maximum((out + a["bias"]) * a["scale"] + a["shift"], 0))


def _matmul(_: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    return np.asarray(a["left"] @ a["right"])


def _norm(_: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    return np.asarray(np.sqrt(np.square(a["data"].astype(np.float64)).sum(axis=(1, 2))))


def _softmax(_: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    powers = np.exp(a["data"] - a["data"].max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _layer_norm(_: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    data = a["data"].astype(np.float64)
    centred = data - data.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-5)
    return np.asarray(centred / spread * a["scale"] + a["shift"])


def _attention(_: Mapping[str, int], a: Mapping[str, Array]) -> Array:
    return np.asarray(np.einsum("blhd,bmhd->bhlm", a["query"], a["value"], optimize=True))


_FORMULAE: Mapping[str, Callable[[Mapping[str, int], Mapping[str, Array]], Any]] = {
    **dict.fromkeys(("c1d", "c2d", "c3d", "grp", "dil"), _convolution),
    "dep": _depthwise,
    "t2d": _transposed,
    "cap": _capsule,
    "cbr": _layer,
    "gmm": _matmul,
    "mm": _matmul,
    "nrm": _norm,
    "sfm": _softmax,
    "layernorm": _layer_norm,
    "tbg": _attention,
}
