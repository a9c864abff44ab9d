"""The process of one compiled model: runs it when it is its turn.

Reads one JSON object a line from standard input and answers each with one on standard output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from tuner.compiled_model import CompiledModel, load, random_input
from tuner.placement import leave_bound_cpus
from tuner.profile import profile_layers

_WARM_SECONDS = 0.02
_LONG_SECONDS = 0.1
"""A run as long as this leaves the caches as it finds them: one is enough."""


def turn(call: Callable[[], Any], seconds: float) -> float:
    """Warm up, then return the median seconds of the calls that fit into a time (at least one).

    A call that takes long warms up by itself.
    """
    clock = time.perf_counter
    began = clock()
    call()
    first = clock() - began
    if first > max(_LONG_SECONDS, seconds):
        return first
    while clock() - began < _WARM_SECONDS:
        call()
    runs: list[float] = []
    began = clock()
    while not runs or clock() - began < seconds:
        start = clock()
        call()
        runs.append(clock() - start)
    return median(runs)


def calls_of(model: CompiledModel, arrays: list[Any]) -> dict[str, float]:
    """Return the seconds that each function takes in one run, all its calls together."""
    found: dict[str, float] = {}
    began = time.perf_counter()
    model.run_tensors(*arrays)
    runs = 1 if time.perf_counter() - began > _LONG_SECONDS else 3
    for layer in profile_layers(model, *arrays, repeats=runs, warmup=runs - 1):
        found[layer.symbol] = found.get(layer.symbol, 0.0) + layer.seconds
    return found


def main() -> None:
    """Serve until standard input ends; the first argument is the library."""
    # Libraries may print to standard output; the answers have a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model = load(sys.argv[1])
    random = np.random.default_rng(0)
    arrays = [random_input(tensor, random) for tensor in model.inputs]
    model.run_tensors(*arrays)
    leave_bound_cpus()  # the pool has started
    for line in sys.stdin:
        message = json.loads(line)
        reply: dict[str, Any] = (
            {"calls": calls_of(model, arrays)}
            if message["do"] == "profile"
            else {"seconds": turn(lambda: model.run_tensors(*arrays), message["seconds"])}
        )
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
