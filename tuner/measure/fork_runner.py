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
"""Pairs between two looks at a duel in which a kernel takes longer than a warm-up."""
_DUEL_REPEATS = 3
"""A repeat of a duel is this many times as long as one of a race: what comes and goes within milliseconds (a
worker that lost its CPU) is then part of nearly every repeat."""
_DUEL_WARM_PART = 1.0
_WARM_PART = 0.25
"""Part of a repeat for which a kernel runs before it is timed: its threads wake up, and the tuner, which has
just sent the order, goes to sleep instead of taking a CPU from them. In a duel it was stopped, and takes up
to 5% longer for some 3 ms. One that takes longer than a warm-up is timed at once: what is cold about a call
hardly shows, and both sides of a duel are as cold."""


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

    _checks_losers = False
    """Whether a candidate is checked that is clearly slower; nobody but itself sees what its child wrote."""

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
            build.run_seconds = race.timing.minimum
            check_began = self._supervisor.time.seconds
            if self._checks_losers or not race.is_quick:
                verdict = self._check(process, ["random"])
            if verdict is not None and verdict.ok and incumbent_seconds is None and len(opened.sets) > 1:
                verdict = self._check(process, list(opened.sets))
            stages["check"] = self._supervisor.time.seconds - check_began
            if verdict is not None and not verdict.ok:
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
        collected: list[list[float]] = [[] for _ in builds]
        try:
            for build in builds:
                self._supervisor.stop(build.handle, False)
                if build.run_seconds is None:
                    build.run_seconds = self._warm_seconds(build.handle)
                self._supervisor.stop(build.handle, True)
            if max(build.run_seconds or 0.0 for build in builds) > self._options.race.warm_up_seconds:
                rounds = min(rounds, _LONG_ROUNDS)
            for _ in range(rounds):
                for found, build in zip(collected, builds, strict=True):
                    self._supervisor.stop(build.handle, False)
                    found += self._turn(build.handle, build.run_seconds or 0.0)
                    self._supervisor.stop(build.handle, True)
        except Stopped as stop:
            return stop.failure
        finally:
            for process in processes:
                self._supervisor.stop(process, False)
        return collected

    def check(self, build: Build) -> Verdict | Failure:
        """Compare the outputs of a build with the untuned program's on every input set."""
        try:
            return self._check(build.handle, list(self._tasks[build.key].sets))
        except Stopped as stop:
            return stop.failure

    def _warm_seconds(self, process: Process) -> float:
        """Call a kernel that was never run until it is warm and return about how long a call takes."""
        race = Race(self._options.race, None)
        seconds = self._time(process, m.First(), self._options.run_timeout_seconds)[0]
        if self._options.race.is_long(seconds):
            return seconds
        block = race.first(seconds)
        if block is not None:
            race.add(self._block(process, block, seconds))
        return race.timing.minimum

    def _turn(self, process: Process, typical_seconds: float) -> list[float]:
        """Time one repeat of a duel."""
        policy = self._options.race
        if policy.cache == "flushed" or policy.is_long(typical_seconds):
            return self._block(process, Block(1, 1), typical_seconds)
        number = max(1, round(_DUEL_REPEATS * policy.repeat_seconds / max(typical_seconds, 1e-7)))
        return self._block(process, Block(number, 1), typical_seconds, _DUEL_WARM_PART)

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
            seconds = self._block(process, block, first)
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
        is_long = incumbent_seconds is not None and options.race.is_long(incumbent_seconds)
        times = options.long_timeouts if is_long else options.incumbent_timeouts
        limit = max(options.least_timeout_seconds, times * known)
        if limit >= options.run_timeout_seconds:
            return options.run_timeout_seconds, ""
        name = "the incumbent" if incumbent_seconds is not None else "the plainly reordered program"
        return limit, f", slower than {limit / known:.2g} times {name}"

    def _block(
        self, process: Process, block: Block, typical_seconds: float, warm_part: float = _WARM_PART
    ) -> list[float]:
        """Time a block of calls that take about as long as ``typical_seconds`` each."""
        policy = self._options.race
        is_flushed = policy.cache == "flushed"
        is_short = typical_seconds < policy.warm_up_seconds
        warm = max(1, round(warm_part * block.number)) if is_short and not is_flushed else 0
        calls = warm + block.number * block.repeats
        limit = 10 * typical_seconds * calls + _SLACK_SECONDS + (0.1 * block.repeats if is_flushed else 0.0)
        return self._time(process, m.Repeat(block.number, block.repeats, is_flushed, warm=warm), limit)

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
