"""One of several pipelines that feed remote devices: builds ahead, runs one candidate at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tuner.measure import messages as m
from tuner.measure.base import Failure, MeasureTask, Verdict
from tuner.measure.fork_builder import ForkBuilder
from tuner.measure.fork_runner import ForkRunner, Stopped
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build, Run
from tuner.measure.rpc.address import RpcAddress
from tuner.measure.supervisor import Supervisor
from tuner.measure.tasks import OpenedTask, TaskTable
from tuner.measure.timing import Block, Race


class RpcBuilder(ForkBuilder):
    """Builds libraries in forked children; ``Build.handle`` is the child that will drive the device."""

    def __init__(self, supervisor: Supervisor, tasks: TaskTable, options: MeasureOptions) -> None:
        super().__init__(supervisor, tasks, options)
        self._folder = tempfile.TemporaryDirectory(prefix="tirtune-rpc-")
        self._paths: dict[Build, Path] = {}
        self._count = 0

    def library(self, build: Build) -> str:
        """Return the path of a build's library."""
        return str(self._paths[build])

    def discard(self, build: Build) -> None:
        """End the child of a build and delete its library."""
        super().discard(build)
        path = self._paths.pop(build, None)
        if path is not None:
            with suppress(FileNotFoundError):
                path.unlink()

    def close(self) -> None:
        """Delete every library."""
        self._folder.cleanup()

    def _library(self, build: Build) -> str:
        self._count += 1
        path = self._paths[build] = Path(self._folder.name) / f"candidate{self._count}.so"
        return str(path)


class RpcRunner(ForkRunner):
    """Runs builds on whichever device the tracker gives.

    Args:
        supervisor: The fork server.
        tasks: The open tasks.
        options: Limits and the rules of the race.
        builder: Knows the libraries.
        device_timeout_seconds: Longest wait for a free device.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        tasks: TaskTable,
        options: MeasureOptions,
        builder: RpcBuilder,
        device_timeout_seconds: float,
    ) -> None:
        super().__init__(supervisor, tasks, options)
        self._builder = builder
        self._device_timeout_seconds = device_timeout_seconds
        self._attached: Build | None = None

    def alternate(self, builds: Sequence[Build], rounds: int) -> list[list[float]] | Failure:
        """Run builds alternately, all on the device that the first one's child takes."""
        process = builds[0].handle
        others = [self._builder.library(build) for build in builds[1:]]
        limit = self._options.run_timeout_seconds
        collected: list[list[float]] = [[] for _ in builds]
        try:
            self._attach(builds[0], others)
            self._attached = builds[0]
            numbers: list[int] = []
            for which in range(len(builds)):
                race = Race(self._options.race, None)
                first = self._seconds(self.ask(process, m.Repeat(1, 1, which=which), limit))
                block = race.first(first[0]) or Block(1, 1)
                numbers.append(block.number)
            for _ in range(rounds):
                for which, number in enumerate(numbers):
                    order = m.Repeat(number, 1, self._options.race.cache == "flushed", which)
                    collected[which] += self._seconds(self.ask(process, order, limit))
        except Stopped as stop:
            return stop.failure
        return collected

    def check(self, build: Build) -> Verdict | Failure:
        """Compare outputs in the build's own child, which takes a device if it has none."""
        try:
            if build is not self._attached:
                self._attach(build, [])
        except Stopped as stop:
            return stop.failure
        return super().check(build)

    def _prepare(self, build: Build, stages: dict[str, float]) -> None:
        stages.update(self._attach(build, []))

    def _attach(self, build: Build, others: list[str]) -> dict[str, float]:
        try:
            reply = self.ask(build.handle, m.Attach(others), self._device_timeout_seconds)
        except Stopped as stop:
            if stop.failure.stage != "timeout":
                raise
            seconds = self._device_timeout_seconds
            raise Stopped(Failure("run", f"no remote device became free within {seconds:g} s")) from stop
        return dict(reply.stages) if isinstance(reply, m.Built) else {}

    @staticmethod
    def _seconds(reply: m.Message) -> list[float]:
        if not isinstance(reply, m.Ran):
            raise Stopped(Failure("run", "the child sent no time"))
        return reply.seconds


class Lane:
    """A fork server of its own with a builder and a runner; belongs to one thread at a time.

    Args:
        address: The devices.
        options: Limits and the rules of the race.
        linker: Compiler driver that links libraries for the devices.
        device_timeout_seconds: Longest wait for a free device.
    """

    def __init__(
        self, address: RpcAddress, options: MeasureOptions, linker: str, device_timeout_seconds: float
    ) -> None:
        self.supervisor = Supervisor()
        self.tasks = TaskTable(self.supervisor, options, str(address), linker)
        self.builder = RpcBuilder(self.supervisor, self.tasks, options)
        self.runner = RpcRunner(self.supervisor, self.tasks, options, self.builder, device_timeout_seconds)
        self._options = options

    def opened(self, task: MeasureTask) -> OpenedTask:
        """Return a task of this lane, opened if it is not yet."""
        try:
            return self.tasks[task.key]
        except KeyError:
            return self.tasks.open(task)

    def finish(self, builds: Sequence[Build]) -> None:
        """Wait until builds are finished."""
        left = set(builds)
        while left:
            left -= set(self.builder.finished(self._options.build_timeout_seconds))

    def time_untuned(self, task: MeasureTask, limit_seconds: float) -> Run:
        """Time the untuned program on a device."""
        self.opened(task)
        build = self.builder.submit(task.key, {"kind": "default"})
        try:
            self.finish([build])
            if build.failure is not None:
                return Run(None, build.failure, stages=build.stages)
            return self.runner.time_untuned(build, limit_seconds)
        finally:
            self.builder.discard(build)

    def close(self) -> None:
        """End every process of the lane and delete its files."""
        self.tasks.close()
        self.supervisor.close()
        self.builder.close()
