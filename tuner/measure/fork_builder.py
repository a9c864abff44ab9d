"""Builds candidates in forked children, in parallel, and pauses them while something is timed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tuner.measure import messages as m
from tuner.measure.base import Failure, Plan
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build
from tuner.measure.supervisor import Process, Supervisor
from tuner.measure.tasks import TaskTable


@dataclass(eq=False, slots=True)
class _Running:
    build: Build
    process: Process
    began: float


class ForkBuilder:
    """The builder of local measurement; ``Build.handle`` is the child that holds the kernel.

    Args:
        supervisor: The fork server.
        tasks: The open tasks.
        options: Limits.
    """

    def __init__(self, supervisor: Supervisor, tasks: TaskTable, options: MeasureOptions) -> None:
        self._supervisor = supervisor
        self._tasks = tasks
        self._options = options
        self._running: list[_Running] = []
        self._done: list[Build] = []

    def submit(self, key: str, plan: Plan) -> Build:
        """Fork a child that builds a plan."""
        server = self._tasks.server(self._tasks[key])
        build = Build(key, plan)
        request = m.BuildPlan(json.dumps(plan), self._library(build))
        build.handle = process = self._supervisor.fork(server, "plan", request)
        self._running.append(_Running(build, process, self._supervisor.time.seconds))
        return build

    def finished(self, timeout_seconds: float) -> list[Build]:
        """Wait for builds to finish, at most this long; those past their deadline are killed."""
        self._supervisor.time.restart()
        deadline = self._supervisor.time.seconds + timeout_seconds
        while True:
            self._collect()
            left = deadline - self._supervisor.time.seconds
            if self._done or not self._running or left <= 0:
                found, self._done = self._done, []
                return found
            self._supervisor.poll(left)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Pause every unfinished build; the time does not count against them."""
        began = self._supervisor.time.seconds
        paused = [entry for entry in self._running if entry.process.pid is not None]
        for entry in paused:
            self._supervisor.stop(entry.process, True)
        try:
            yield
        finally:
            for entry in paused:
                self._supervisor.stop(entry.process, False)
            lost = self._supervisor.time.seconds - began
            for entry in self._running:
                entry.began += lost

    def discard(self, build: Build) -> None:
        """End the child of a build."""
        self._running = [entry for entry in self._running if entry.build is not build]
        if build.handle is not None:
            self._supervisor.end(build.handle)
            build.handle = None

    def _library(self, build: Build) -> str:
        """Return where the build's library goes; nowhere on this machine."""
        return ""

    def _collect(self) -> None:
        now = self._supervisor.time.seconds
        for entry in list(self._running):
            failure = self._outcome(entry, now)
            if failure is _UNFINISHED:
                continue
            entry.build.failure = failure
            entry.build.seconds = now - entry.began
            self._running.remove(entry)
            self._done.append(entry.build)

    def _outcome(self, entry: _Running, now: float) -> Failure | None:
        process, build = entry.process, entry.build
        if process.inbox:
            message = process.inbox.popleft()
            if isinstance(message, m.Built):
                build.stages = dict(message.stages)
                build.trace, build.base = message.trace, message.base
                build.code, build.facts = message.code, dict(message.facts)
                return None
            if isinstance(message, m.Fault):
                stage = message.stage if message.stage == "generate" else "build"
                return Failure(stage, message.message)
            return Failure("build", f"the child sent {type(message).__name__} instead of a kernel")
        if process.is_gone:
            return Failure("crash", f"while building: {process.obituary()}")
        if now - entry.began > self._options.build_timeout_seconds:
            limit = self._options.build_timeout_seconds
            if process.pid is None and process.parent is not None:
                self._supervisor.end(process.parent)
                return Failure("timeout", f"the fork server did not answer for {limit:g} s")
            return Failure(
                "timeout", f"not built after {limit:g} s: the candidate may be too large to compile"
            )
        return _UNFINISHED


_UNFINISHED = Failure("build", "unfinished")
