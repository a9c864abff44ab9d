"""Runs what was built for a device: one process of a task owns it, and is replaced when something breaks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tuner.errors import JobFailed
from tuner.measure import messages as m
from tuner.measure.base import Failure, Verdict
from tuner.measure.cuda.settling import CANARY
from tuner.measure.fork_runner import ForkRunner, Stopped
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build, Run
from tuner.measure.supervisor import Process, Supervisor, require
from tuner.measure.tasks import TaskTable
from tuner.measure.timing import Block, Race

_OWNERS = 4
"""Tasks whose process is kept: each holds a context, which is some hundred megabytes, and its buffers."""

_LOAD_SECONDS = 20.0
_CANARY_SECONDS = 10.0
_BREAKING = ("crash", "run", "timeout")
"""Failures after which the context of a process is not to be trusted."""


class DeviceRunner(ForkRunner):
    """The runner of a device of this machine.

    While a candidate runs, ``Build.handle`` is the process that owns the device. A candidate that
    fails while it runs costs that process; the next one must answer before anything else is run.

    Args:
        supervisor: The fork server.
        tasks: The open tasks.
        options: Limits and the rules of the race.
    """

    def __init__(self, supervisor: Supervisor, tasks: TaskTable, options: MeasureOptions) -> None:
        super().__init__(supervisor, tasks, options)
        self._owners: OrderedDict[str, Process] = OrderedDict()
        self.device_name = ""
        self.replacements = 0

    def run(self, build: Build, incumbent_seconds: float | None) -> Run:
        """Race one candidate on the device and check its outputs.

        Raises:
            JobFailed: If the device does not answer any more.
        """
        with self._holding(build):
            run = super().run(build, incumbent_seconds)
        self._replace_if_broken(build.key, run.failure)
        return run

    def time_untuned(self, build: Build, limit_seconds: float) -> Run:
        """Time the untuned program on the device.

        Raises:
            JobFailed: If the device does not answer any more.
        """
        with self._holding(build):
            run = super().time_untuned(build, limit_seconds)
        self._replace_if_broken(build.key, run.failure)
        return run

    _checks_losers = True
    """Candidates share the memory of one process: what each did to it must be known."""

    def check(self, build: Build) -> Verdict | Failure:
        """Compare the outputs of a build with the untuned program's on every input set.

        Raises:
            JobFailed: If the device does not answer any more.
        """
        with self._holding(build):
            try:
                self._prepare(build, {})
                found = super().check(build)
            except Stopped as stop:
                found = stop.failure
        if isinstance(found, Failure):
            self._replace_if_broken(build.key, found)
        return found

    def alternate(self, builds: Sequence[Build], rounds: int) -> list[list[float]] | Failure:
        """Run builds alternately: one repeat of each per round, all in one process.

        Raises:
            JobFailed: If the device does not answer any more.
        """
        key = builds[0].key
        try:
            return self._alternate(self.owner(key), builds, rounds)
        except Stopped as stop:
            self._replace_if_broken(key, stop.failure)
            return stop.failure

    def sample_canary(self, key: str) -> list[float]:
        """Return seconds per call of the fixed kernel.

        Raises:
            JobFailed: If the device does not answer any more.
        """
        process = self.owner(key)
        self._supervisor.tell(process, m.Repeat(16, 3, which=CANARY))
        reply = self._supervisor.wait(process, _CANARY_SECONDS)
        found = require(process, reply, "running the canary kernel on the device")
        return found.seconds if isinstance(found, m.Ran) else []

    def owner(self, key: str) -> Process:
        """Return the process that owns the device for a task, started if there is none.

        Raises:
            JobFailed: If the device does not answer.
        """
        process = self._owners.get(key)
        if process is not None and not process.is_gone:
            self._owners.move_to_end(key)
            return process
        if process is not None:
            self._end(key)
        while len(self._owners) >= _OWNERS:
            self._end(next(iter(self._owners)))
        opened = self._tasks[key]
        request = m.OwnDevice(self._options.settle_seconds)
        process = self._supervisor.fork(self._tasks.server(opened), "device", request)
        reply = self._supervisor.wait(process, self._options.device_timeout_seconds)
        try:
            ready = require(process, reply, "opening the CUDA device")
        except JobFailed as error:
            self._supervisor.end(process)
            raise JobFailed(f"{error}: does nvidia-smi list it, and is another program using it?") from error
        self._owners[key] = process
        self.device_name = ready.name if isinstance(ready, m.DeviceReady) else ""
        return process

    def close(self) -> None:
        """End every process that owns the device."""
        for key in list(self._owners):
            self._end(key)

    def _prepare(self, build: Build, stages: dict[str, float]) -> None:
        reply = self.ask(build.handle, m.Attach(codes=[build.code]), _LOAD_SECONDS)
        stages.update(reply.stages if isinstance(reply, m.Built) else {})

    def _alternate(self, process: Process, builds: Sequence[Build], rounds: int) -> list[list[float]]:
        limit = self._options.run_timeout_seconds
        self.ask(process, m.Attach(codes=[build.code for build in builds]), _LOAD_SECONDS)
        numbers: list[int] = []
        for which in range(len(builds)):
            # The first call of a kernel also loads it.
            race = Race(self._options.race, None)
            self._repeats(process, m.Repeat(1, 1, which=which), limit)
            first = self._repeats(process, m.Repeat(1, 1, which=which), limit)[0]
            numbers.append((race.first(first) or Block(1, 1)).number)
        is_flushed = self._options.race.cache == "flushed"
        collected: list[list[float]] = [[] for _ in builds]
        for _ in range(rounds):
            for which, number in enumerate(numbers):
                collected[which] += self._repeats(process, m.Repeat(number, 1, is_flushed, which), limit)
        return collected

    def _repeats(self, process: Process, order: m.Repeat, limit: float) -> list[float]:
        return self._time(process, order, limit)

    @contextmanager
    def _holding(self, build: Build) -> Iterator[None]:
        """Let the process that owns the device stand for the child that built the candidate."""
        builder = build.handle
        build.handle = self.owner(build.key)
        try:
            yield
        finally:
            build.handle = builder

    def _replace_if_broken(self, key: str, failure: Failure | None) -> None:
        if failure is None or failure.stage not in _BREAKING:
            return
        self._end(key)
        self.replacements += 1
        try:
            self.owner(key)
        except JobFailed as error:
            raise JobFailed(
                f"the device is gone after a candidate failed ({failure.message}): {error}"
            ) from error

    def _end(self, key: str) -> None:
        process = self._owners.pop(key, None)
        if process is not None:
            self._supervisor.end(process)
