"""The process that runs the canary, and what becomes of a look that it does not answer."""

from __future__ import annotations

from tuner.measure import messages as m
from tuner.measure.base import MeasureTask
from tuner.measure.supervisor import Process, Supervisor, require

_ANSWER_SECONDS = 10.0
"""Longest wait for a look, which takes some milliseconds; a busy machine may miss it."""

_MOST_MISSED = 3
"""Looks in a row that may be missed; after that the canary is left alone, because each costs a deadline."""


class CanaryProcess:
    """Times the canary in a process of its own, which is stopped between two looks.

    A look that misses its deadline, or whose process is killed, is skipped and costs that process:
    the drift of the machine stays what it was, and the next look starts anew.

    Args:
        supervisor: The fork server.
        build_seconds: Longest wait until the kernel is built.
        answer_seconds: Longest wait for one look.
    """

    def __init__(
        self, supervisor: Supervisor, build_seconds: float, answer_seconds: float = _ANSWER_SECONDS
    ) -> None:
        self._supervisor = supervisor
        self._build_seconds = build_seconds
        self._answer_seconds = answer_seconds
        self._process: Process | None = None
        self.missed = 0

    def sample(self, task: MeasureTask) -> list[float]:
        """Return seconds per call of a few repeats, none when the look was missed.

        Args:
            task: Names target and threads.

        Raises:
            JobFailed: If the kernel cannot be built: then nothing can.
        """
        if self.missed >= _MOST_MISSED:
            return []
        seconds = self._look(task)
        if seconds:
            self.missed = 0
        else:
            self.missed += 1
            if self._process is not None:
                self._supervisor.end(self._process)
                self._process = None
        return seconds

    def forget(self) -> None:
        """Start anew at the next look; for when the fork server has ended."""
        self._process = None
        self.missed = 0

    def _look(self, task: MeasureTask) -> list[float]:
        canary = self._process
        if canary is None or canary.is_gone:
            request = m.BuildCanary(task.target, task.threads)
            canary = self._process = self._supervisor.fork(self._supervisor.root(), "canary", request)
            built = self._supervisor.wait(canary, self._build_seconds)
            if isinstance(built, m.Fault):
                require(canary, built, "building the canary kernel")
            if not isinstance(built, m.Built) or not self._ask(canary, m.First()):
                return []
        self._supervisor.stop(canary, False)
        seconds = self._ask(canary, m.Repeat(2, 3))
        self._supervisor.stop(canary, True)
        return seconds

    def _ask(self, canary: Process, order: m.First | m.Repeat) -> list[float]:
        self._supervisor.tell(canary, order)
        reply = self._supervisor.wait(canary, self._answer_seconds)
        return reply.seconds if isinstance(reply, m.Ran) else []
