"""Where the time of measuring went, as clocks saw it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

PARTS = ("open", "build", "run", "wait")
"""What the tuner waits for while it measures: tasks that open, candidates that build, candidates that run,
the canary (and a machine that it finds slow)."""

STAGES = ("generate", "lower", "llvm", "load", "first_run", "timing", "check")
"""What a trial consists of; the first four in processor seconds of a child, the others in wall seconds."""


class TimeAccount:
    """Adds up wall time by part and the stages of trials.

    Parts never overlap: a part that begins inside another one interrupts it.

    Args:
        clock: Monotonic seconds.

    Attributes:
        wall_seconds: Wall time by part, see :data:`PARTS`.
        stage_seconds: Sums over all trials by stage, see :data:`STAGES`.
        trials: How many.
        suspects: Trials beside which the machine was more than a tenth slower than at its best.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._part: str | None = None
        self._since = 0.0
        self.wall_seconds = dict.fromkeys(PARTS, 0.0)
        self.stage_seconds = dict.fromkeys(STAGES, 0.0)
        self.trials = 0
        self.suspects = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Book the time inside the context to a part."""
        outer = self._part
        self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def add_stages(self, stages: Mapping[str, float]) -> None:
        """Add one trial's stages, in seconds."""
        self.trials += 1
        for stage, seconds in stages.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds

    def _switch(self, name: str | None) -> None:
        now = self._clock()
        if self._part is not None:
            self.wall_seconds[self._part] += now - self._since
        self._part, self._since = name, now
