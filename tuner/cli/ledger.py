"""Whose time it was: divides the wall time of a run among its tasks, as the events show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tuner.events import RunProgress

PARTS = ("search", "build", "run")
_ACTIVE = ("opening", "searching", "measuring")


@dataclass(slots=True)
class Ledger:
    """Adds the time between two events to the task that was at work.

    Attributes:
        seconds: Per task, wall time by part.
    """

    seconds: list[dict[str, float]] = field(default_factory=list)
    _before: RunProgress | None = None

    def take(self, progress: RunProgress) -> None:
        """Book what passed since the last event."""
        while len(self.seconds) < len(progress.tasks):
            self.seconds.append(dict.fromkeys(PARTS, 0.0))
        before = self._before
        self._before = progress
        if before is None:
            return
        busy = _active(before)
        if busy is None:
            busy = _finished(before, progress)
        if busy is None:
            return
        for part in PARTS:
            name = f"{part}_seconds"
            self.seconds[busy][part] += max(0.0, getattr(progress, name) - getattr(before, name))


def _active(progress: RunProgress) -> int | None:
    return next((i for i, task in enumerate(progress.tasks) if task.state in _ACTIVE), None)


def _finished(before: RunProgress, now: RunProgress) -> int | None:
    """Return the task that ended meanwhile: its final comparison took the time."""
    pairs = zip(before.tasks, now.tasks, strict=True)
    return next(
        (i for i, (old, new) in enumerate(pairs) if old.state != new.state and new.state == "done"), None
    )
