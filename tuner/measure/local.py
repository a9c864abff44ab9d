"""The measurer of this machine: forked children, racing, checks, drift."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Self

from tuner.closing import Closing
from tuner.errors import JobFailed
from tuner.measure.account import TimeAccount
from tuner.measure.base import Baseline, Comparison, Failure, MeasureResult, MeasureTask, Plan
from tuner.measure.canary import DriftMeter
from tuner.measure.canary_process import CanaryProcess
from tuner.measure.causes import raise_for_common_cause
from tuner.measure.check import LONG_SUM
from tuner.measure.clock import Clock
from tuner.measure.fork_builder import ForkBuilder
from tuner.measure.fork_runner import ForkRunner
from tuner.measure.kept import KeptBuilds
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build, Run
from tuner.measure.supervisor import Supervisor
from tuner.measure.tasks import OpenedTask, TaskTable
from tuner.measure.timing import comparison_of

_DEFAULT: Plan = {"kind": "default"}
_COMPARE_ROUNDS = 7
_COMPARE_LOOKS = 3
_COMPARE_BUDGETS = 2
"""A duel ends after this many times the budget of a race, decided or not."""
_EQUAL = 0.01
"""A duel ends when the interval of the ratio is as narrow as this: more runs decide nothing."""


class LocalMeasurer(Closing):
    """Measures on this machine, one forked child per candidate.

    Args:
        options: Limits and habits.
        clock: Source of time for deadlines.
    """

    def __init__(self, options: MeasureOptions | None = None, clock: Clock | None = None) -> None:
        self.options = options or MeasureOptions()
        self.supervisor = Supervisor(clock)
        self.drift = DriftMeter(self._sample_canary, self.options.patience_seconds)
        self.account = TimeAccount()
        self._tasks = TaskTable(self.supervisor, self.options)
        self._builder = ForkBuilder(self.supervisor, self._tasks, self.options)
        self._runner = self._make_runner()
        self._kept = KeptBuilds(self._builder)
        self._baselines: dict[str, Baseline] = {}
        self._canary = CanaryProcess(self.supervisor, self.options.prepare_timeout_seconds)
        self._canary_task: MeasureTask | None = None
        self._looked_seconds: float | None = None

    def open(self, task: MeasureTask) -> Baseline:
        """Prepare a task: inputs, reference outputs, the untuned program's time.

        Raises:
            JobFailed: If the task cannot be prepared or its untuned program does not run.
        """
        if task.key in self._baselines:
            return self._baselines[task.key]
        self._canary_task = self._canary_task or task
        with self.account.part("open"):
            opened = self._tasks.open(task)
            try:
                run = self._time_untuned(opened)
                if run.verdict is not None and not run.verdict.ok and opened.reference == "reordered":
                    opened.reference = "untuned"
                    self._tasks.compute_references(opened)
                    run = self._time_untuned(opened)
                baseline = self._baseline(opened, run)
                if opened.reduction > LONG_SUM and opened.reference != "device":
                    opened.reference = "partial sums"
                    self._tasks.compute_references(opened)
                    baseline = replace(baseline, reference=opened.reference)
            except BaseException:
                self._tasks.drop(task.key)
                raise
        self._baselines[task.key] = baseline
        return baseline

    def measure(
        self, key: str, plans: Sequence[Plan], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        """Measure candidates: built in parallel, run one at a time while every build is paused.

        Raises:
            KeyError: If the task is not open.
            JobFailed: If the fork server keeps dying, or if every trial fails for one cause.
        """
        opened = self._tasks[key]
        with self.account.part("build"):
            ordered = self._measure(key, plans, incumbent_seconds)
        opened.has_worked = opened.has_worked or any(r.timing is not None for r in ordered)
        if not opened.has_worked:
            raise_for_common_cause(ordered, opened.task.name, self.options.same_cause_limit)
        return ordered

    def _measure(
        self, key: str, plans: Sequence[Plan], incumbent_seconds: float | None
    ) -> list[MeasureResult]:
        self._kept.clear(but=key)
        results: dict[int, MeasureResult] = {}
        pending = deque(enumerate(plans))
        building: dict[Build, int] = {}
        ready: dict[Build, int] = {}
        restarts = self._tasks.restarts
        self._looked_seconds = None
        threshold = self._window()
        try:
            while pending or building or ready:
                while pending and len(building) < self.options.workers:
                    if self._tasks.restarts - restarts > self.options.server_restarts:
                        raise JobFailed(
                            f"the fork server died {self._tasks.restarts - restarts} times in one batch: is "
                            "the machine out of memory? Measure with fewer workers or less memory a child"
                        )
                    place, plan = pending.popleft()
                    building[self._builder.submit(key, plan)] = place
                for build in self._builder.finished(self.options.build_timeout_seconds) if building else ():
                    place = building.pop(build)
                    if build.failure is None:
                        ready[build] = place
                    else:
                        results[place] = self._result(build, None)
                        self._builder.discard(build)
                if len(ready) >= threshold or not (building or pending):
                    incumbent_seconds = self._run_ready(key, ready, results, incumbent_seconds)
                    ready = {}
        finally:
            for build in (*building, *ready):
                self._builder.discard(build)
        return [results[place] for place in range(len(plans))]

    def compare(self, key: str, first: Plan | None, second: Plan) -> Comparison:
        """Run two candidates alternately until the interval of their ratio excludes 1 or time is up.

        The second one is checked on every input set if it is faster, or alone.
        """
        self._tasks[key]
        self.supervisor.poll(0.0)  # whoever was kept may have ended meanwhile
        builds = [
            self._kept.take(key, plan) or self._builder.submit(key, plan)
            for plan in (first, second)
            if plan is not None
        ]
        try:
            with self.account.part("build"):
                left = {build for build in builds if build.run_seconds is None}
                while left:
                    left -= set(self._builder.finished(self.options.build_timeout_seconds))
            for build in builds:
                if build.failure is not None:
                    return Comparison(None, None, None, None, None, build.failure)
            with self.account.part("run"), self._while_running(key):
                outcome = self._alternate(builds)
                if outcome.may_win:
                    outcome = outcome.checked(self._runner.check(builds[-1]))
            if outcome.failure is None:
                self._keep_duellists(builds, outcome)
            return outcome
        finally:
            for build in builds:
                if build not in self._kept:
                    self._builder.discard(build)

    def close(self) -> None:
        """End every process that the measurer started."""
        self._kept.clear()
        self._tasks.close()
        self._baselines.clear()
        self._canary.forget()
        self.supervisor.close()

    def __enter__(self) -> Self:
        """Start the fork server, which loads the compiler while the caller goes on."""
        self.supervisor.root()
        return self

    def _run_ready(
        self,
        key: str,
        ready: dict[Build, int],
        results: dict[int, MeasureResult],
        incumbent_seconds: float | None,
    ) -> float | None:
        rivals: list[tuple[Build, float]] = []
        with self.account.part("run"), self._while_running(key):
            for build, place in ready.items():
                self._look_at_canary()
                factor = self.drift.factor
                limit = None if incumbent_seconds is None else incumbent_seconds * factor
                run = self._runner.run(build, limit)
                # Tearing a process down takes milliseconds of a core: not while the next one is timed.
                self.supervisor.stop(build.handle, True)
                result = results[place] = self._result(build, run)
                if result.seconds is None or result.is_quick:
                    continue
                incumbent_seconds = min(result.seconds, incumbent_seconds or result.seconds)
                rivals.append((build, result.seconds))
        for build, seconds in rivals:
            self._kept.offer(build, seconds)
        for build in ready:
            if build not in self._kept:
                self._builder.discard(build)
        return incumbent_seconds

    def _keep_duellists(self, builds: Sequence[Build], outcome: Comparison) -> None:
        """Keep the winner of a duel, and the loser as a rival; both are paused until the next one."""
        for build in builds:
            self.supervisor.stop(build.handle, True)
        winner = builds[-1] if outcome.may_win else builds[0]
        self._kept.crown(winner)
        loser = outcome.first if outcome.may_win else outcome.second
        if loser is not None and len(builds) > 1:
            self._kept.offer(builds[0] if outcome.may_win else builds[-1], loser.median)

    def _result(self, build: Build, run: Run | None) -> MeasureResult:
        stages = dict(build.stages)
        if run is not None:
            stages.update(run.stages)
        self.account.add_stages(stages)
        facts = dict(build.facts)
        if run is not None and self.drift.is_suspect:
            self.account.suspects += 1
            facts["drift"] = self.drift.factor
        return MeasureResult(
            plan=build.plan,
            timing=None if run is None else run.timing,
            failure=build.failure if run is None else run.failure,
            verdict=None if run is None else run.verdict,
            trace=build.trace,
            base=build.base,
            build_seconds=build.seconds,
            run_seconds=0.0 if run is None else run.seconds,
            stages=stages,
            drift=self.drift.factor,
            is_suspect=self.drift.is_suspect,
            cache=self.options.race.cache,
            is_quick=run is not None and run.is_quick,
            facts=facts,
        )

    def _make_runner(self) -> ForkRunner:
        """Return what runs the builds."""
        return ForkRunner(self.supervisor, self._tasks, self.options)

    def _window(self) -> int:
        """Return how many builds are waited for before some are run."""
        return max(1, self.options.window - self.options.workers)

    def _while_running(self, key: str) -> AbstractContextManager[None]:
        """Return a context in which candidates of a task run: a CPU must be quiet then."""
        return self._builder.quiet()

    def _time_untuned(self, opened: OpenedTask) -> Run:
        build = self._builder.submit(opened.task.key, _DEFAULT)
        try:
            with self.account.part("build"):
                while build not in self._builder.finished(self.options.build_timeout_seconds):
                    pass
            if build.failure is not None:
                return Run(None, build.failure, stages=build.stages)
            with self.account.part("run"):
                run = self._runner.time_untuned(build, self.options.baseline_seconds)
            opened.stages = {**build.stages, **run.stages}
            return run
        finally:
            self._builder.discard(build)

    def _baseline(self, opened: OpenedTask, run: Run) -> Baseline:
        task, failure = opened.task, run.failure
        if run.verdict is not None and not run.verdict.ok:
            raise JobFailed(
                f"the untuned program of {task.name} does not repeat itself: {run.verdict.message}"
            )
        if failure is not None and failure.stage != "timeout":
            raise JobFailed(f"the untuned program of {task.name} does not run: {failure.message}")
        return Baseline(
            key=task.key,
            timing=run.timing,
            failure=failure,
            seconds=self.options.baseline_seconds if run.timing is None else run.timing.median,
            is_lower_bound=run.timing is None,
            reference=opened.reference,
            checks=opened.sets,
            stages=opened.stages,
        )

    def _alternate(self, builds: list[Build]) -> Comparison:
        collected: list[list[float]] = [[] for _ in builds]
        began = self.supervisor.time.seconds
        for _ in range(_COMPARE_LOOKS):
            self._look_at_canary()
            found = self._runner.alternate(builds, _COMPARE_ROUNDS)
            if isinstance(found, Failure):
                return Comparison(None, None, None, None, None, found)
            for whole, part in zip(collected, found, strict=True):
                whole += part
            outcome = comparison_of(collected)
            spent = self.supervisor.time.seconds - began
            if outcome.is_decided(_EQUAL) or spent > _COMPARE_BUDGETS * self.options.race.budget_seconds:
                break
        return outcome

    def _look_at_canary(self) -> None:
        now = self.supervisor.time.seconds
        period = self.options.canary_seconds
        if period <= 0 or (self._looked_seconds is not None and now - self._looked_seconds < period):
            return
        with self.account.part("wait"):
            self.drift.settle()
        self._looked_seconds = self.supervisor.time.seconds

    def _sample_canary(self) -> list[float]:
        assert self._canary_task is not None  # set by open(), without which nothing runs
        return self._canary.sample(self._canary_task)
