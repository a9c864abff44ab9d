"""Builds candidates and runs none: for machines that prepare a run on another one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from tuner.closing import Closing
from tuner.measure.base import MeasureTask, Plan
from tuner.measure.fork_builder import ForkBuilder
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build
from tuner.measure.supervisor import Supervisor
from tuner.measure.tasks import TaskTable


class CandidateBuilder(Closing):
    """Builds plans in forked children, in parallel, as the measurer does, and keeps what the compiler said.

    Args:
        options: Limits.
    """

    def __init__(self, options: MeasureOptions | None = None) -> None:
        self.options = options or MeasureOptions()
        self._supervisor = Supervisor()
        self._tasks = TaskTable(self._supervisor, self.options)
        self._builder = ForkBuilder(self._supervisor, self._tasks, self.options)

    def build(
        self, task: MeasureTask, plans: Sequence[Plan], is_over: Callable[[], bool] = lambda: False
    ) -> list[Build]:
        """Build plans of a task.

        Args:
            task: The task; its reference outputs are not computed.
            plans: What to build.
            is_over: Asked before each; what was not begun then is left out.

        Returns:
            One build per plan that was begun, in order; those that failed say why.

        Raises:
            JobFailed: If the task cannot be prepared.
        """
        self._tasks.open(task, needs_references=False)
        pending = deque(plans)
        begun: list[Build] = []
        running: set[Build] = set()
        try:
            while pending or running:
                while pending and len(running) < self.options.workers and not is_over():
                    build = self._builder.submit(task.key, pending.popleft())
                    begun.append(build)
                    running.add(build)
                if not running:
                    break
                for build in self._builder.finished(self.options.build_timeout_seconds):
                    running.discard(build)
                    self._builder.discard(build)
        finally:
            for build in running:
                self._builder.discard(build)
            self._tasks.drop(task.key)
        return begun

    def close(self) -> None:
        """End every process."""
        self._tasks.close()
        self._supervisor.close()
