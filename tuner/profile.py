"""Where the time of one run of a compiled model goes, call by call."""

from __future__ import annotations

import time
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

    def watch(function: Any, name: Any, before: bool, result: Any, *arguments: Any) -> int:
        nonlocal began
        now = time.perf_counter()
        if before:
            began = time.perf_counter()
        elif not str(name).startswith("vm.builtin."):
            current.append((str(name), _shapes(arguments), now - began))
        return 0

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


def _shapes(arguments: tuple[Any, ...]) -> str:
    tensors = [a for a in arguments if hasattr(a, "__dlpack__")]
    words = ["x".join(str(int(extent)) for extent in tensor.shape) or "scalar" for tensor in tensors]
    return f"{','.join(words[:-1])}->{words[-1]}" if words else ""
