"""Compiled versions of one model, run in turns: each in its own process, one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.closing import Closing
from tuner.errors import JobFailed
from tuner.measure.base import Timing
from tuner.measure.timing import summarise

ROUNDS = 12
"""Turns of each version: the interval of a median of twelve leaves out two on either side."""
TURN_SECONDS = 0.1
"""Least timed seconds of a turn."""
LEAST_ROUNDS = 5
"""Rounds that there are whatever they take: fewer have no interval to speak of."""
LIMIT_SECONDS = 20.0
"""After this time no further round begins: models that run for a second must not use up the run's time."""


@dataclass(frozen=True, slots=True)
class Lap:
    """Times of several versions, taken in turns.

    Attributes:
        seconds: Version to seconds per run, one entry a round.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, version: str) -> float:
        """Return the median of a version."""
        return summarise(self.seconds[version]).median

    def ratio(self, version: str, other: str) -> Timing:
        """Return how a version's time relates to another's, round by round, with its 95% interval."""
        pairs = zip(self.seconds[version], self.seconds[other], strict=True)
        return summarise([mine / theirs for mine, theirs in pairs])


class Version(Closing):
    """A compiled version in a process of its own.

    Args:
        library: What :meth:`tuner.compiled_model.CompiledModel.save` wrote.

    Raises:
        JobFailed: From any method, if the process died.
    """

    def __init__(self, library: Path) -> None:
        self._library = library
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuner.acceptance.contestant", str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def turn(self, seconds: float) -> float:
        """Return the median seconds of some runs."""
        return float(self._ask({"do": "turn", "seconds": seconds})["seconds"])

    def profile(self) -> dict[str, float]:
        """Return the seconds in one run by function."""
        calls = self._ask({"do": "profile"})["calls"]
        return {str(name): float(seconds) for name, seconds in calls.items()}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer is missing then, which is reported below
        line = self._process.stdout.readline()
        if not line:
            raise JobFailed(f"{self._library.name} ended with code {self._process.wait()} while it ran")
        reply: dict[str, Any] = json.loads(line)
        return reply


def race(
    versions: Mapping[str, Version],
    rounds: int = ROUNDS,
    turn_seconds: float = TURN_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
) -> Lap:
    """Give every version its turn in every round, each after each other one equally often."""
    order = list(versions)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for number in _rounds(rounds, limit_seconds):
        first = number % len(order)
        for name in order[first:] + order[:first]:
            seconds[name].append(versions[name].turn(turn_seconds))
    return Lap({name: tuple(values) for name, values in seconds.items()})


def profile(
    versions: Mapping[str, Version], rounds: int = ROUNDS, limit_seconds: float = LIMIT_SECONDS
) -> dict[str, dict[str, list[float]]]:
    """Return version to function to seconds in one run, one entry a round, taken in turns."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in versions}
    for _ in _rounds(rounds, limit_seconds):
        for name, version in versions.items():
            for symbol, seconds in version.profile().items():
                found[name].setdefault(symbol, []).append(seconds)
    return found


def _rounds(most: int, limit_seconds: float) -> Iterator[int]:
    """Count rounds until there are enough or the time is up."""
    began = time.monotonic()
    for number in range(most):
        if number >= LEAST_ROUNDS and time.monotonic() - began > limit_seconds:
            return
        yield number


def open_versions(
    stack: ExitStack, libraries: Mapping[str, Path], names: Sequence[str]
) -> dict[str, Version]:
    """Start the processes of some versions; the stack ends them."""
    return {name: stack.enter_context(Version(libraries[name])) for name in names}
