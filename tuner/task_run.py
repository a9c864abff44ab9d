"""One task of a run: its search, its incumbent, and how a candidate takes the title."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from search_space.candidate import Context
from tuner.events import TaskProgress
from tuner.measure.base import Baseline, Measurer, MeasureResult, Timing, Verdict
from tuner.scheduler import TaskCurve
from tuner.search.base import Proposal, SearchStrategy
from tuner.tasks import Task

FINALISTS = 3
"""Candidates of a task that are run against the incumbent before a run ends."""
CLEAR_WIN = 0.5
"""Below this part of the untuned program's time a candidate needs no duel with it (it may take seconds)."""
CENSORED = 6.0
"""What a candidate that was stopped is taken for, in times of the incumbent: it was given two to four."""
CHALLENGERS = 3
"""Candidates of a batch that may challenge the incumbent, while those before them are wrong."""
FINAL_MARGIN = 1.05
"""Only candidates measured within this factor of the incumbent are finalists."""

Plan = dict[str, Any]
Recorder = Callable[["TaskRun", MeasureResult, str, float], None]


@dataclass(slots=True)
class TaskRun:
    """State of one task during a run.

    Attributes:
        task: What is tuned.
        context: Its sketches.
        strategy: Proposes candidates.
        curve: What the scheduler knows.
        trials: Measurements spent, earlier sessions included.
        failed: Those that failed.
        baseline: The untuned program, once it was opened.
        known_baseline_seconds: Its time in an earlier session of the log.
        best_plan: The incumbent.
        best_seconds: Its time.
        state: See :class:`tuner.events.TaskProgress`.
        rounds: Batches measured in this session.
    """

    task: Task
    context: Context
    strategy: SearchStrategy
    curve: TaskCurve
    trials: int = 0
    failed: int = 0
    baseline: Baseline | None = None
    known_baseline_seconds: float | None = None
    best_plan: Plan | None = None
    best_seconds: float | None = None
    best_result: MeasureResult | None = None
    state: str = "waiting"
    rounds: int = 0
    _timed: dict[str, tuple[float, MeasureResult]] = field(default_factory=dict)
    _beaten: list[tuple[Plan, Plan]] = field(default_factory=list)

    def progress(self) -> TaskProgress:
        """Return what there is to show."""
        baseline = self.baseline
        return TaskProgress(
            name=self.task.name,
            weight=self.task.weight,
            flops=self.task.workload.flops,
            trials=self.trials,
            failed=self.failed,
            baseline_seconds=self.known_baseline_seconds if baseline is None else baseline.seconds,
            baseline_is_lower_bound=baseline is not None and baseline.is_lower_bound,
            best_seconds=self.best_seconds,
            state=self.state,
        )

    def take_baseline(self, baseline: Baseline) -> None:
        """Make the untuned program the first incumbent: nothing slower is ever called best."""
        self.baseline = baseline
        if self.best_seconds is None and baseline.timing is not None:
            self.best_plan = {"kind": "default"}
            self.best_seconds = baseline.seconds

    def restore(self, plan: Plan, seconds: float) -> None:
        """Take the incumbent of an earlier session."""
        if self.best_seconds is None or seconds < self.best_seconds:
            self.best_plan, self.best_seconds = plan, seconds

    def measure(
        self, measurer: Measurer, proposals: Sequence[Proposal], record: Recorder, search_seconds: float
    ) -> list[MeasureResult]:
        """Measure a batch, learn from it, and let its fastest candidate challenge the incumbent."""
        incumbent = self.best_seconds
        results = measurer.measure(self.task.key, [p.plan for p in proposals], incumbent)
        share = search_seconds / max(1, len(results))
        for result in results:
            self.trials += 1
            self.failed += result.failure is not None and not result.failure.is_censored
            record(self, result, "trial", share)
        self._learn(proposals, results)
        self._challenge(measurer, results, record)
        self.curve.best.append(self.best_seconds if self.best_seconds is not None else float("inf"))
        self.rounds += 1
        return results

    def _learn(self, proposals: Sequence[Proposal], results: Sequence[MeasureResult]) -> None:
        by_sketch: dict[str, list[tuple[np.ndarray, float | None, Mapping[str, float]]]] = {}
        for proposal, result in zip(proposals, results, strict=True):
            seconds = result.seconds
            if seconds is not None:
                self._timed[str(proposal.key)] = (seconds, result)
            elif result.failure is not None and result.failure.is_censored and self.best_seconds:
                # Stopped because it is far slower than the incumbent: that much is known of its time.
                seconds = CENSORED * self.best_seconds
            by_sketch.setdefault(proposal.sketch, []).append((proposal.row, seconds, result.facts))
        for sketch, seen in by_sketch.items():
            rows, times, facts = zip(*seen, strict=True)
            self.strategy.observe(sketch, np.array(rows), times, facts)

    def _challenge(self, measurer: Measurer, results: Sequence[MeasureResult], record: Recorder) -> None:
        """Let the fastest of a batch challenge the incumbent; the next one where it turns out to be wrong."""
        rivals = [r for r in results if r.seconds is not None and not r.is_quick]
        for challenger in sorted(rivals, key=_seconds)[:CHALLENGERS]:
            if self.best_seconds is not None and _seconds(challenger) >= self.best_seconds:
                return
            if self._duel(measurer, challenger, record):
                return

    def _duel(self, measurer: Measurer, challenger: MeasureResult, record: Recorder) -> bool:
        """Run incumbent and challenger alternately; the faster keeps or takes the title.

        Returns:
            Whether there is an outcome; not when either of them failed.
        """
        plan = dict(challenger.plan)
        outcome = measurer.compare(self.task.key, self._holder(challenger), plan)
        if outcome.failure is not None or outcome.second is None:
            if outcome.failure is not None and outcome.failure.stage == "wrong_result":
                wrong = replace(challenger, timing=None, failure=outcome.failure, verdict=outcome.verdict)
                record(self, wrong, "confirmation", 0.0)
            return False
        # What is reported is what was timed now: the incumbent would profit from the quietest moment that it
        # ever had otherwise, and a challenger from the moment that made it one.
        rival = _confirmed(challenger, outcome.second, outcome.verdict)
        record(self, rival, "confirmation", 0.0)
        if outcome.first is None:
            self._crown(rival, outcome.second.median)
            return True
        assert self.best_plan is not None
        known = self.best_result or MeasureResult(plan=self.best_plan, timing=outcome.first)
        incumbent = _confirmed(known, outcome.first, known.verdict)
        record(self, incumbent, "confirmation", 0.0)
        won, lost = (rival, incumbent) if outcome.may_win else (incumbent, rival)
        self._crown(won, (outcome.second if outcome.may_win else outcome.first).median)
        if outcome.is_separated:
            self._beaten.append((dict(lost.plan), dict(won.plan)))
        return True

    def _holder(self, challenger: MeasureResult) -> Plan | None:
        """Return the plan that a challenger has to beat; ``None`` where no duel is needed."""
        if self.best_plan is None or self.best_seconds is None:
            return None
        is_untuned = self.best_plan.get("kind") == "default"
        return None if is_untuned and _seconds(challenger) < CLEAR_WIN * self.best_seconds else self.best_plan

    def _crown(self, result: MeasureResult, seconds: float) -> None:
        self.best_plan, self.best_seconds, self.best_result = dict(result.plan), seconds, result

    def finish(self, measurer: Measurer, record: Recorder) -> None:
        """Let the closest candidates challenge once more, so that noise has not picked the winner.

        Who has clearly lost a duel with this winner is not asked again.
        """
        if self.best_result is None or self.best_seconds is None:
            return
        limit = FINAL_MARGIN * self.best_seconds
        best_plan = self.best_plan
        close = sorted(
            (
                item
                for item in self._timed.values()
                if item[0] <= limit and not item[1].is_quick and dict(item[1].plan) != best_plan
            ),
            key=lambda item: item[0],
        )
        for _, result in close[: FINALISTS - 1]:
            if (dict(result.plan), self.best_plan) not in self._beaten:
                self._duel(measurer, result, record)


def _seconds(result: MeasureResult) -> float:
    return float("inf") if result.seconds is None else result.seconds


def _confirmed(result: MeasureResult, timing: Timing, verdict: Verdict | None) -> MeasureResult:
    """Return a measurement with the time of a comparison and the verdict of the check that goes with it."""
    return MeasureResult(
        plan=result.plan,
        timing=timing,
        verdict=verdict or result.verdict,
        trace=result.trace,
        base=result.base,
        cache=result.cache,
    )


class Stopwatch:
    """Adds up the wall time of named parts of a run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    def time(self, name: str) -> _Lap:
        """Return a context manager that adds its duration to a part."""
        return _Lap(self, name)

    def now(self) -> float:
        """Return the clock."""
        return self._clock()


class _Lap:
    def __init__(self, watch: Stopwatch, name: str) -> None:
        self._watch, self._name, self._start = watch, name, 0.0
        self.seconds = 0.0

    def __enter__(self) -> _Lap:
        self._start = self._watch.now()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self._watch.now() - self._start
        self._watch.seconds[self._name] = self._watch.seconds.get(self._name, 0.0) + self.seconds
