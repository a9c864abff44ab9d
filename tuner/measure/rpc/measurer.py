"""The measurer of remote devices: candidates are spread over every device under one key."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tuner.closing import Closing
from tuner.errors import JobFailed
from tuner.measure.account import TimeAccount
from tuner.measure.base import Baseline, Comparison, Failure, MeasureResult, MeasureTask, Plan
from tuner.measure.causes import raise_for_common_cause
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build, Run
from tuner.measure.rpc.address import RpcAddress
from tuner.measure.rpc.lane import Lane
from tuner.measure.timing import comparison_of

_COMPARE_ROUNDS = 15


class RpcMeasurer(Closing):
    """Builds here and runs on remote devices, as many at once as there are devices.

    A device that dies costs the trial that it ran; the others go on, and the tracker gives out what is
    left. Outputs are checked here against references computed here; there are no guard bands and no
    canary on a remote device.

    Args:
        address: ``rpc://host:port/key``.
        options: Limits and the rules of the race; ``workers`` is the number of builds at once in all.
        linker: Compiler driver that links for the devices, such as ``aarch64-linux-gnu-g++``.
        device_timeout_seconds: Longest wait for a free device.

    Raises:
        UserError: If the address has another form.
    """

    def __init__(
        self,
        address: str,
        options: MeasureOptions | None = None,
        linker: str = "",
        device_timeout_seconds: float = 60.0,
    ) -> None:
        self.options = options or MeasureOptions()
        self.address = RpcAddress.parse(address)
        self._linker = linker
        self._device_timeout_seconds = device_timeout_seconds
        self.account = TimeAccount()
        self._lanes: list[Lane] = []
        self._tasks: dict[str, MeasureTask] = {}
        self._baselines: dict[str, Baseline] = {}
        self._worked: set[str] = set()

    def open(self, task: MeasureTask) -> Baseline:
        """Prepare a task and time its untuned program on a device.

        Raises:
            JobFailed: If the tracker or every device is away, or the untuned program does not run there.
        """
        if task.key in self._baselines:
            return self._baselines[task.key]
        lane = self._started()[0]
        opened = lane.opened(task)
        run = lane.time_untuned(task, self.options.baseline_seconds)
        failure = run.failure
        if run.verdict is not None and not run.verdict.ok:
            failure = Failure("wrong_result", run.verdict.message)
        if failure is not None and failure.stage != "timeout":
            raise JobFailed(f"the untuned program of {task.name} does not run remotely: {failure.message}")
        self._tasks[task.key] = task
        baseline = self._baselines[task.key] = Baseline(
            key=task.key,
            timing=run.timing,
            failure=failure,
            seconds=self.options.baseline_seconds if run.timing is None else run.timing.median,
            is_lower_bound=run.timing is None,
            reference=opened.reference,
            checks=opened.sets,
            stages=dict(run.stages),
        )
        return baseline

    def measure(
        self, key: str, plans: Sequence[Plan], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        """Measure candidates on every device at once.

        Raises:
            KeyError: If the task is not open.
            JobFailed: If every trial fails for one cause.
        """
        task = self._task(key)
        batch = _Batch(plans, incumbent_seconds)
        lanes = self._started()
        began = time.monotonic()
        with ThreadPoolExecutor(len(lanes)) as pool:
            for future in [pool.submit(self._work, lane, task, batch) for lane in lanes]:
                future.result()
        results = [batch.results[place] for place in range(len(plans))]
        self._book(time.monotonic() - began, results)
        if any(result.timing is not None for result in results):
            self._worked.add(key)
        if key not in self._worked:
            raise_for_common_cause(results, task.name, self.options.same_cause_limit)
        return results

    def compare(self, key: str, first: Plan | None, second: Plan) -> Comparison:
        """Run two candidates alternately on one device, and check the second one if it is faster."""
        lane = self._started()[0]
        lane.opened(self._task(key))
        builds = [lane.builder.submit(key, plan) for plan in (first, second) if plan is not None]
        try:
            lane.finish(builds)
            failure = next((b.failure for b in builds if b.failure is not None), None)
            found = failure or lane.runner.alternate(builds, _COMPARE_ROUNDS)
            if isinstance(found, Failure):
                return Comparison(None, None, None, None, None, found)
            outcome = comparison_of(found)
            if not outcome.may_win:
                return outcome
            for build in builds[:-1]:
                lane.builder.discard(build)  # its device is free for the check now
            return outcome.checked(lane.runner.check(builds[-1]))
        finally:
            for build in builds:
                lane.builder.discard(build)

    def close(self) -> None:
        """End every process and delete every file; the devices are free again."""
        for lane in self._lanes:
            lane.close()
        self._lanes = []
        self._tasks.clear()
        self._baselines.clear()

    def _book(self, seconds: float, results: Sequence[MeasureResult]) -> None:
        """Divide the time of a batch as its trials divide theirs: here building and running overlap."""
        building = sum(result.build_seconds for result in results)
        running = sum(result.run_seconds for result in results)
        share = building / max(building + running, 1e-9)
        self.account.wall_seconds["build"] += share * seconds
        self.account.wall_seconds["run"] += (1.0 - share) * seconds
        for result in results:
            self.account.add_stages(result.stages)

    def _task(self, key: str) -> MeasureTask:
        if key not in self._tasks:
            raise KeyError(f"task {key} is not open: call open() first")
        return self._tasks[key]

    def _started(self) -> list[Lane]:
        if not self._lanes:
            devices = self.address.devices()
            if devices == 0:
                raise JobFailed(
                    f"no device is registered under {self.address.key!r} at "
                    f"{self.address.host}:{self.address.port}: start one with python -m tvm.exec.rpc_server "
                    f"--tracker {self.address.host}:{self.address.port} --key {self.address.key}"
                )
            self._lanes = [
                Lane(self.address, self.options, self._linker, self._device_timeout_seconds)
                for _ in range(devices)
            ]
        return self._lanes

    def _work(self, lane: Lane, task: MeasureTask, batch: _Batch) -> None:
        lane.opened(task)
        ahead = max(1, self.options.workers // len(self._lanes)) + 1
        building: dict[Build, int] = {}
        ready: list[Build] = []
        try:
            while True:
                while len(building) < ahead and (taken := batch.take()) is not None:
                    place, plan = taken
                    building[lane.builder.submit(task.key, plan)] = place
                if not building:
                    return
                if not ready:
                    ready = lane.builder.finished(self.options.build_timeout_seconds)
                    continue
                build = ready.pop(0)
                run = None
                if build.failure is None:
                    run = lane.runner.run(build, batch.incumbent_seconds)
                batch.put(building.pop(build), build, run, self.options.race.cache)
                lane.builder.discard(build)
        finally:
            for build in building:
                lane.builder.discard(build)


class _Batch:
    """The plans of one call, shared by the lanes."""

    def __init__(self, plans: Sequence[Plan], incumbent_seconds: float | None) -> None:
        self.results: dict[int, MeasureResult] = {}
        self.incumbent_seconds = incumbent_seconds
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[int, Plan]] = queue.SimpleQueue()
        for item in enumerate(plans):
            self._waiting.put(item)

    def take(self) -> tuple[int, Plan] | None:
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None

    def put(self, place: int, build: Build, run: Run | None, cache: str) -> None:
        result = MeasureResult(
            plan=build.plan,
            timing=None if run is None else run.timing,
            failure=build.failure if run is None else run.failure,
            verdict=None if run is None else run.verdict,
            trace=build.trace,
            base=build.base,
            build_seconds=build.seconds,
            run_seconds=0.0 if run is None else run.seconds,
            stages={**build.stages, **({} if run is None else run.stages)},
            cache=cache,
            is_quick=run is not None and run.is_quick,
        )
        with self._lock:
            self.results[place] = result
            if result.timing is not None and not result.is_quick:
                best = result.timing.median
                known = self.incumbent_seconds
                self.incumbent_seconds = best if known is None else min(known, best)
