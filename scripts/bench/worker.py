"""The process of one side: loads an operator, checks it, and times it when it is its turn.

Reads one JSON object a line from standard input and answers each with one on standard output.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from statistics import median
from typing import Any, Protocol

import numpy as np

from scripts.bench import peak
from scripts.bench.problem import Problem
from scripts.bench.reference import TOLERANCE, error
from scripts.bench.sides import MODULES
from scripts.bench.sides.base import NoKernel, Variant
from search_space.error_text import described, last_line
from tuner.placement import beside_workers

BLOCKS = 3
"""Timed blocks of one turn; their median counts."""


class Worker:
    """Answers the messages of one parent.

    Args:
        side: Name of a side.
    """

    def __init__(self, side: str) -> None:
        self._side = import_module(MODULES[side])
        self._best: Variant | None = None  # whole: a call may read memory that only its variant keeps
        self._call: Callable[[], Any] | None = None  # what a turn times

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one message."""
        known = {"load": self._load, "turn": self._turn, "overhead": self._overhead, "peak": self._peak}
        return known[message["do"]](message)

    def _load(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._best, self._call = None, None
        problem = Problem.from_dict(message["problem"])
        expected = np.load(message["reference"])
        variants: list[Variant] = self._side.load(problem, problem.arrays(), message["options"])
        if not variants:
            return {"absent": f"no {problem.operator} ({problem.dtype})"}
        self._best, reply = fastest_right(
            variants,
            lambda output: error(problem, output, expected),
            TOLERANCE[problem.dtype],
            lambda call: time_call(call, 0.03, 0.02),
        )
        self._call = None if self._best is None else self._best.call
        return reply

    def _turn(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._call is not None  # the parent gives turns to what was loaded
        with beside_workers():
            return {"seconds": time_call(self._call, message["warm_seconds"], message["seconds"])}

    def _peak(self, message: Mapping[str, Any]) -> dict[str, Any]:
        best = max(peak.load(message["threads"]), key=lambda loaded: loaded.flops_per_second)
        self._call = best.call
        return {"flops": best.flops}

    def _overhead(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"seconds": min(time_call(self._side.trivial(), 0.02, 0.02) for _ in range(5))}


def fastest_right(
    variants: Sequence[Variant],
    error_of: Callable[[Any], float],
    tolerance: float,
    time_one: Callable[[Callable[[], Any]], float],
) -> tuple[Variant | None, dict[str, Any]]:
    """Choose among the ways that a library has for one thing.

    Args:
        variants: At least one.
        error_of: Largest error of an output over the largest element of the reference.
        tolerance: Largest error of a right output.
        time_one: Seconds of a call; a lone variant is not timed.

    Returns:
        The fastest of those whose output is right, and the reply to the parent: the variant's name, its
        error and the problems of others, or why every one is wrong.
    """
    timed: list[tuple[float, Variant, float]] = []
    problems: list[str] = []
    for variant in variants:
        try:
            variant.call()
            found = error_of(variant.output())
        except (ValueError, RuntimeError, NotImplementedError) as reason:
            problems.append(f"{variant.name}: {last_line(reason)}")
            continue
        if not found <= tolerance:
            problems.append(f"{variant.name}: largest error {found:.3g} of the largest element")
            continue
        seconds = min(time_one(variant.call) for _ in range(3)) if len(variants) > 1 else 0.0
        timed.append((seconds, variant, found))
    if not timed:
        return None, {"wrong": "; ".join(problems)}
    _, best, found = min(timed, key=lambda item: item[0])
    return best, {"variant": best.name, "error": found, "problems": problems}


def time_call(call: Callable[[], Any], warm_seconds: float, seconds: float) -> float:
    """Warm up, then time blocks of calls.

    Args:
        call: What is timed.
        warm_seconds: Least time of the warm-up; at least one call is made.
        seconds: Least time of all blocks together; at least one call is made.

    Returns:
        Seconds per call, the median of the blocks.
    """
    clock = time.perf_counter
    count, began = 0, clock()
    while not count or clock() - began < warm_seconds:
        call()
        count += 1
    each = (clock() - began) / count
    blocks = BLOCKS if each < seconds / BLOCKS else 1
    number = max(1, round(seconds / blocks / each))
    gc.disable()
    try:
        return median(_block(call, number) for _ in range(blocks))
    finally:
        gc.enable()


def _block(call: Callable[[], Any], number: int) -> float:
    turns = range(number)
    began = time.perf_counter()
    for _ in turns:
        call()
    return (time.perf_counter() - began) / number


class Answers(Protocol):
    """What serves the messages of one parent."""

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one message."""
        ...


def main(make: Callable[[str], Answers] = Worker) -> None:
    """Serve until standard input ends.

    Args:
        make: Called with the side's name.
    """
    # A stopped process would outlive a parent that is killed.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    # Libraries print to standard output; the answers have a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker: Answers | None = None
    for line in sys.stdin:
        try:
            worker = worker or make(sys.argv[1])
            reply = worker.answer(json.loads(line))
        except ImportError as reason:
            reply = {"absent": str(reason)}
        except NoKernel as reason:
            reply = {"absent": str(reason)}
        except Exception as reason:  # whatever a library raises is this side's result, not ours
            reply = {"broken": described(reason)}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
