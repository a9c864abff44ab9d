"""Time as deadlines should see it: a machine that slept did not keep a candidate waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Return seconds that never go backwards."""
        ...


class MonotonicClock:
    """The system's monotonic clock."""

    def now(self) -> float:
        """Return seconds since some start."""
        return time.monotonic()


class ActiveTime:
    """Seconds that passed while this process was really waiting for its children.

    Every wait is announced with how long it may take. When the clock says that it took much longer, the
    machine was suspended, the process was stopped or the clock jumped: the excess is left out and counted.

    Args:
        clock: The source of time.
        slack_seconds: How much longer than announced a wait may take on a busy machine.
    """

    def __init__(self, clock: Clock, slack_seconds: float = 1.0) -> None:
        self._clock = clock
        self._slack_seconds = slack_seconds
        self._last = clock.now()
        self.seconds = 0.0
        self.jumps = 0

    def tick(self, announced_seconds: float) -> None:
        """Note that a wait of at most the announced length is over."""
        now = self._clock.now()
        passed = max(0.0, now - self._last)
        self._last = now
        if passed > announced_seconds + self._slack_seconds:
            self.jumps += 1
            passed = announced_seconds
        self.seconds += passed

    def restart(self) -> None:
        """Leave out the time since the last tick, in which nothing was waited for."""
        self._last = self._clock.now()
