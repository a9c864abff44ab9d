"""Runs the kernels that children hold: races them, times them alternately, checks what they write."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.measure import messages as m
from tuner.measure.base import Failure, Verdict
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build, Run
from tuner.measure.supervisor import Process, Supervisor
from tuner.measure.tasks import TaskTable
from tuner.measure.timing import Block, Race

_CHECK_SECONDS = 20.0
_SLACK_SECONDS = 5.0
"""What a repeat may take beyond ten times the first run: that one ended, so this one will."""
_LONG_ROUNDS = 3


class Stopped(Exception):
    """A trial that ends here with a failure; never leaves a runner."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ForkRunner:
    """The runner of local measurement.

    Args:
        supervisor: The fork server.
        tasks: The open tasks.
        options: Limits and the rules of the race.
    """

    def __init__(self, supervisor: Supervisor, tasks: TaskTable, options: MeasureOptions) -> None:
        self._supervisor = supervisor
        self._tasks = tasks
        self._options = options

    def run(self, build: Build, incumbent_seconds: float | None) -> Run:
        """Race one candidate and check its outputs."""
        process: Process = build.handle
        opened = self._tasks[build.key]
        race = Race(self._options.race, incumbent_seconds)
        stages: dict[str, float] = {}
        began = self._supervisor.time.seconds
        verdict: Verdict | None = None
        failure: Failure | None = None
        try:
            self._prepare(build, stages)
            self._race(process, race, incumbent_seconds, opened.bound_seconds, stages)
            check_began = self._supervisor.time.seconds
            verdict = self._check(process, ["random"])
            is_best = incumbent_seconds is None or race.timing.median < incumbent_seconds
            if verdict.ok and is_best and len(opened.sets) > 1:
                verdict = self._check(process, list(opened.sets))
            stages["check"] = self._supervisor.time.seconds - check_began
            if not verdict.ok:
                failure = Failure("wrong_result", verdict.message)
        except Stopped as stop:
            failure = stop.failure
        seconds = self._supervisor.time.seconds - began
        timing = race.timing if failure is None else None
        return Run(timing, failure, verdict, seconds, stages, race.is_quick)

    def time_untuned(self, build: Build, limit_seconds: float) -> Run:
        """Time the untuned program, whose single run may be all that fits the limit.

        Args:
            build: The untuned program.
            limit_seconds: It is stopped after this; the failure is then a ``timeout``.
        """
        process: Process = build.handle
        race = Race(self._options.race, None)
        stages: dict[str, float] = {}
        began = self._supervisor.time.seconds
        verdict: Verdict | None = None
        failure: Failure | None = None
        try:
            self._prepare(build, stages)
            self._race(process, race, None, None, stages, limit_seconds)
            verdict = self._check(process, ["random"])
        except Stopped as stop:
            failure = stop.failure
        seconds = self._supervisor.time.seconds - began
        return Run(race.timing if failure is None else None, failure, verdict, seconds, stages)

    def alternate(self, builds: Sequence[Build], rounds: int) -> list[list[float]] | Failure:
        """Run builds alternately; all but the one that runs are paused."""
        processes: list[Process] = [build.handle for build in builds]
        limit = self._options.run_timeout_seconds
        collected: list[list[float]] = [[] for _ in builds]
        try:
            blocks: list[Block] = []
            for process in processes:
                race = Race(self._options.race, None)
                seconds = self._time(process, m.First(), limit)[0]
                block = race.first(seconds)
                if self._options.race.is_long(seconds):
                    blocks.append(Block(1, 1))
                    rounds = min(rounds, _LONG_ROUNDS)
                else:
                    if block is not None:
                        block = race.add(self._block(process, block)) or block
                    # The first repeat wakes the threads and fills the caches again; it does not count.
                    blocks.append(Block(1 if block is None else block.number, 2))
                self._supervisor.stop(process, True)
            for _ in range(rounds):
                for index, (process, block) in enumerate(zip(processes, blocks, strict=True)):
                    self._supervisor.stop(process, False)
                    collected[index] += self._block(process, block)[block.repeats - 1 :]
                    self._supervisor.stop(process, True)
        except Stopped as stop:
            return stop.failure
        finally:
            for process in processes:
                self._supervisor.stop(process, False)
        return collected

    def _prepare(self, build: Build, stages: dict[str, float]) -> None:
        """Do what a build still needs before its first run; nothing on this machine's CPU."""

    def _race(
        self,
        process: Process,
        race: Race,
        incumbent_seconds: float | None,
        bound_seconds: float | None,
        stages: dict[str, float],
        limit_seconds: float | None = None,
    ) -> None:
        limit, meaning = self._first_limit(incumbent_seconds, bound_seconds, limit_seconds)
        began = self._supervisor.time.seconds
        first = self._time(process, m.First(), limit, meaning)[0]
        stages["first_run"] = self._supervisor.time.seconds - began
        began = self._supervisor.time.seconds
        block = race.first(first)
        while block is not None:
            jumps = self._supervisor.time.jumps
            expected = first * block.number * block.repeats
            seconds = self._block(process, block, expected)
            if self._supervisor.time.jumps != jumps:
                continue  # the machine slept: what was timed meanwhile says nothing
            first = min(seconds)
            block = race.add(seconds)
        stages["timing"] = self._supervisor.time.seconds - began

    def _first_limit(
        self, incumbent_seconds: float | None, bound_seconds: float | None, limit_seconds: float | None
    ) -> tuple[float, str]:
        options = self._options
        if limit_seconds is not None:
            return limit_seconds, ""
        known = incumbent_seconds if incumbent_seconds is not None else bound_seconds
        if known is None:
            return options.run_timeout_seconds, ""
        limit = max(options.least_timeout_seconds, options.incumbent_timeouts * known)
        if limit >= options.run_timeout_seconds:
            return options.run_timeout_seconds, ""
        name = "the incumbent" if incumbent_seconds is not None else "the plainly reordered program"
        return limit, f", slower than {limit / known:.0f} times {name}"

    def _block(self, process: Process, block: Block, expected_seconds: float = 1.0) -> list[float]:
        is_flushed = self._options.race.cache == "flushed"
        limit = 10 * expected_seconds + _SLACK_SECONDS + (0.1 * block.repeats if is_flushed else 0.0)
        return self._time(process, m.Repeat(block.number, block.repeats, is_flushed), limit)

    def _time(
        self, process: Process, order: m.First | m.Repeat, limit: float, meaning: str = ""
    ) -> list[float]:
        reply = self.ask(process, order, limit, meaning)
        if not isinstance(reply, m.Ran) or not reply.seconds or not min(reply.seconds) >= 0.0:
            raise Stopped(Failure("run", "the child sent no time"))
        return reply.seconds

    def _check(self, process: Process, sets: list[str]) -> Verdict:
        reply = self.ask(process, m.Check(sets), _CHECK_SECONDS, "")
        if not isinstance(reply, m.Checked):
            raise Stopped(Failure("run", "the child sent no verdict"))
        return reply.verdict

    def ask(self, process: Process, order: m.Message, limit: float, meaning: str = "") -> m.Message:
        """Give a child an order and return its answer.

        Raises:
            Stopped: If it died, failed or did not answer in time.
        """
        self._supervisor.tell(process, order)
        reply = self._supervisor.wait(process, limit)
        if reply is None:
            if process.is_gone:
                raise Stopped(Failure("crash", f"while running: {process.obituary()}"))
            text = f"one call still ran after {limit:.3g} s{meaning}"
            raise Stopped(Failure("timeout", text, is_censored=bool(meaning)))
        if isinstance(reply, m.Fault):
            raise Stopped(Failure("crash" if reply.stage == "crash" else "run", reply.message))
        return reply
