"""The sides of a comparison of whole models: one module each, loaded in a process of its own.

A side module has ``load(model, feeds, options) -> list[Variant]``; the fastest right variant represents the
side. It may have ``profile(model, feeds, options) -> list[Layer]``, the time of every layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Feeds: TypeAlias = Mapping[str, NDArray[Any]]
"""Inputs by name."""

MODULES = {
    "tirtune": "scripts.bench.whole.compiled",
    "metaschedule": "scripts.bench.whole.metaschedule",
    "onnxruntime": "scripts.bench.whole.onnxruntime_side",
    "openvino": "scripts.bench.whole.openvino_side",
    "torch": "scripts.bench.whole.torch_side",
    "torch.compile": "scripts.bench.whole.torch_compiled",
}
"""Name of a side to its module; peers need not be installed."""

PEERS = ("onnxruntime", "openvino", "torch", "torch.compile")
"""What people use today."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of a model on one side.

    Attributes:
        name: As the side calls it.
        kind: The side's kind of operator.
        seconds: Median time of one run of the model that it takes.
        detail: Shapes or the kernel, where the side says.
    """

    name: str
    kind: str
    seconds: float
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that starts on a cache line, which every side reads where it is."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def read_feeds(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read inputs, aligned."""
    with np.load(path) as stored:
        return {name: aligned(stored[name]) for name in stored.files}
