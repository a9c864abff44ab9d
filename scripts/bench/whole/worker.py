"""The process of one side: loads a model, checks it, and times it when it is its turn."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.bench.sides.base import Variant
from scripts.bench.whole.sides import MODULES, read_feeds
from scripts.bench.worker import fastest_right, main, time_call
from tuner.placement import beside_workers

TOLERANCE = 1e-3
"""Largest error over the largest element of the reference; Winograd's transforms cost some digits."""


class ModelWorker:
    """Answers the messages of one parent.

    Args:
        side: Name of a side.
    """

    def __init__(self, side: str) -> None:
        self._side = import_module(MODULES[side])
        self._best: Variant | None = None  # whole: a call may read memory that only its variant keeps
        self._feeds: dict[str, NDArray[Any]] = {}

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one message."""
        steps = {
            "load": self._load,
            "turn": self._turn,
            "profile": self._profile,
            "reference": self._reference,
        }
        return steps[message["do"]](message)

    def _load(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._best = None
        expected = np.load(message["reference"])
        began = time.perf_counter()
        # Peers read the arrays where they are and do not keep them alive.
        self._feeds = read_feeds(message["feeds"])
        variants: list[Variant] = self._side.load(message["model"], self._feeds, message["options"])
        self._best, reply = fastest_right(
            variants,
            lambda output: error_of(output, expected),
            TOLERANCE,
            lambda call: time_call(call, 0.1, 0.2),
        )
        return reply if self._best is None else reply | {"load_seconds": time.perf_counter() - began}

    def _turn(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._best is not None  # the parent gives turns to what was loaded
        with beside_workers():
            return {"seconds": time_call(self._best.call, message["warm_seconds"], message["seconds"])}

    def _profile(self, message: Mapping[str, Any]) -> dict[str, Any]:
        profile = getattr(self._side, "profile", None)
        if profile is None:
            return {"absent": "it has no profile of its layers"}
        layers = profile(message["model"], self._feeds, message["options"])
        return {"layers": [layer.to_dict() for layer in layers]}

    def _reference(self, message: Mapping[str, Any]) -> dict[str, Any]:
        np.save(message["reference"], self._side.reference(message["model"], read_feeds(message["feeds"])))
        return {}


def error_of(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest error over the largest element; infinite for another shape or NaN."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))


if __name__ == "__main__":
    main(ModelWorker)
