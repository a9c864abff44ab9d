"""A time by which everything about one network must have ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf


class TimeIsUp(Exception):
    """The time of a network has passed."""


class Deadline:
    """Counts down from the moment it is made.

    Args:
        seconds: How long there is.
        clock: Monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self, most: float = inf) -> float:
        """Return the seconds that the next step may take, at most ``most``.

        Raises:
            TimeIsUp: If nothing is left.
        """
        found = self._end - self._clock()
        if found <= 0.0:
            raise TimeIsUp(f"its {self._seconds / 60.0:g} minutes are over: give more with --limit")
        return min(found, most)
