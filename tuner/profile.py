"""Where the time of one run of a compiled model goes, call by call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tuner.compiled_model import CompiledModel, random_input


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One call of a compiled function.

    Attributes:
        symbol: Name of the function.
        shapes: Shapes of its arguments and of its result, such as ``1x8x8x16,3x3x16x32->1x8x8x32``.
        seconds: Median time of the call.
    """

    symbol: str
    shapes: str
    seconds: float


def profile_layers(
    model: CompiledModel, *arrays: Any, repeats: int = 20, seed: int = 0, warmup: int = 3
) -> list[LayerCall]:
    """Time every call of a model.

    The clock is read between calls, which costs about a microsecond each; allocations count to no call.

    Args:
        model: What is run.
        *arrays: Its inputs; drawn at random when absent.
        repeats: Runs of the model; the median of each call counts.
        seed: Seed of random inputs.
        warmup: Runs before the first one that counts.

    Returns:
        One entry per call, in the order of execution.
    """
    random = np.random.default_rng(seed)
    inputs = arrays or tuple(random_input(tensor, random) for tensor in model.inputs)
    for _ in range(warmup):
        model.run_tensors(*inputs)
    names: list[tuple[str, str]] = []
    times: list[list[float]] = []
    current: list[tuple[str, str, float]] = []
    began = 0.0

    def watch(symbol: str, shapes: Sequence[tuple[int, ...]], before: bool) -> None:
        nonlocal began
        now = time.perf_counter()
        if before:
            began = time.perf_counter()
        else:
            current.append((symbol, _text(shapes), now - began))

    with model.instrumented(watch):
        for _ in range(repeats):
            current.clear()
            model.run_tensors(*inputs)
            names = [(name, shapes) for name, shapes, _ in current]
            times.append([seconds for _, _, seconds in current])
    return [
        LayerCall(name, shapes, median(values))
        for (name, shapes), values in zip(names, zip(*times, strict=True), strict=True)
    ]


def _text(shapes: Sequence[tuple[int, ...]]) -> str:
    words = ["x".join(map(str, shape)) or "scalar" for shape in shapes]
    return f"{','.join(words[:-1])}->{words[-1]}" if words else ""
