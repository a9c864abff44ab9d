"""Tuning curves: what every trial of a log gave, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from records.ranking import group_by_task
from records.resume import history
from records.store import LogView
from records.summary import Summary


@dataclass(frozen=True, slots=True)
class Point:
    """One trial.

    Attributes:
        trial: Its number in the task, from 1.
        elapsed_seconds: Tuning time of the log until it was recorded, all tasks together.
        seconds: Its median, or None where it failed.
        best_seconds: The best of the task up to here, the untuned program included.
        stage: Where it failed, or None.
    """

    trial: int
    elapsed_seconds: float
    seconds: float | None
    best_seconds: float | None
    stage: str | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The trials of one task.

    Attributes:
        name: Readable name.
        key: The workload's look-up key.
        threads: Thread count.
        cpu: Model name of the CPU.
        flops: Operations of one call.
        baseline_seconds: Time of the untuned program, or None.
        best_seconds: Time of the best plan as look-ups rank it, or None.
        points: Its trials in order.
        failures: Failed trials by stage.
        spent_seconds: Time spent on it by part: ``search``, ``build``, ``run``.
    """

    name: str
    key: str
    threads: int
    cpu: str
    flops: float
    baseline_seconds: float | None
    best_seconds: float | None
    points: tuple[Point, ...]
    failures: dict[str, int]
    spent_seconds: dict[str, float]

    @property
    def speedup(self) -> float | None:
        """Untuned time over best time."""
        if self.baseline_seconds is None or self.best_seconds is None:
            return None
        return self.baseline_seconds / self.best_seconds

    @property
    def gflops(self) -> float | None:
        """Rate of the best plan."""
        return None if self.best_seconds is None else self.flops / self.best_seconds / 1e9


def curves_of(view: LogView) -> list[Curve]:
    """Return the curve of every task of a log, in the order in which tasks first occur."""
    elapsed = _elapsed(view)
    curves = []
    for task, group in group_by_task(view.summaries).items():
        past = history(task, group)
        trials = [s for s in past.summaries if s.kind == "trial"]
        curves.append(
            Curve(
                name=group[0].name,
                key=task.key,
                threads=task.threads,
                cpu=task.cpu,
                flops=group[0].flops,
                baseline_seconds=past.baseline_seconds,
                best_seconds=past.best.seconds if past.best else None,
                points=_points(trials, past.baseline_seconds, elapsed),
                failures=dict(past.failures),
                spent_seconds={
                    "search": past.search_seconds,
                    "build": past.build_seconds,
                    "run": past.run_seconds,
                },
            )
        )
    return curves


def tuning_seconds(view: LogView) -> float:
    """Return how long the sessions of a log took together, from their headers to their last records."""
    elapsed = _elapsed(view)
    return max((elapsed(s) for s in view.summaries), default=0.0)


def _points(trials: Sequence[Summary], baseline: float | None, elapsed: _Elapsed) -> tuple[Point, ...]:
    points = []
    best = baseline
    for number, trial in enumerate(trials, start=1):
        seconds = trial.median_seconds if trial.is_valid else None
        if seconds is not None:
            best = seconds if best is None else min(best, seconds)
        stage = trial.stage or ("wrong_result" if trial.ok is False else None)
        points.append(Point(number, elapsed(trial), seconds, best, stage))
    return tuple(points)


class _Elapsed:
    """Tuning time until a record: the sessions of a log laid end to end, pauses between them left out."""

    def __init__(self, starts: dict[str, float], offsets: dict[str, float]) -> None:
        self._starts, self._offsets = starts, offsets

    def __call__(self, summary: Summary) -> float:
        session = summary.session
        return self._offsets[session] + max(0.0, summary.time_unix - self._starts[session])


def _elapsed(view: LogView) -> _Elapsed:
    starts = {header.session: header.time_unix for header in view.headers}
    ends: dict[str, float] = {}
    for summary in view.summaries:
        session, time_unix = summary.session, summary.time_unix
        starts[session] = min(time_unix, starts.get(session, time_unix))
        ends[session] = max(time_unix, ends.get(session, time_unix))
    offsets: dict[str, float] = {}
    spent = 0.0
    for session in sorted(ends, key=lambda name: (starts[name], name)):
        offsets[session] = spent
        spent += ends[session] - starts[session]
    return _Elapsed(starts, offsets)
