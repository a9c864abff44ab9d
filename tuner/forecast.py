"""What a log covers of some workloads, what the rest would cost, and how long tuning it would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from records.store import RecordStore
from search_space.candidate import Context, context_of
from tuner.choice import Chooser
from tuner.models import RunModel
from tuner.pace import TRIAL_SECONDS
from tuner.search import Scorer
from tuner.tasks import Task

_SAMPLES = 256
"""Schedules of each sketch that are scored for a guess at a task's time."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of one task before anything is done.

    Attributes:
        task: The task.
        source: ``tuned`` (a record applies), ``predicted`` (there are sketches) or ``default``.
        reason: Which record, or why there is none.
        seconds: Recorded time of one call, or None.
        guessed_seconds: What the cost model expects of one call, or None where there are no sketches.
        sketches: Names of its sketches.
        share: Part of the model's time, by recorded times and by guesses where there are none.
    """

    task: Task
    source: str
    reason: str
    seconds: float | None
    guessed_seconds: float | None
    sketches: tuple[str, ...]
    share: float | None


def forecast(
    tasks: Sequence[Task], target: Any, stores: Sequence[RecordStore], seed: int = 0
) -> list[Forecast]:
    """Say of every task what compiling it would use; measures nothing.

    Args:
        tasks: Equal workloads joined.
        target: The resolved TVM target.
        stores: Where records are looked up; each that is found is replayed to see that it applies.
        seed: Seed of the guesses.
    """
    choose = Chooser(target, stores, predict=False)
    found = []
    for task in tasks:
        choice = choose(task.workload)
        context = context_of(task.workload, target)
        source = choice.source
        if source == "default" and context.sketches:
            source = "predicted"
        guess = _guess(context, seed)
        found.append((task, source, choice.reason, choice.seconds, guess, tuple(context.sketches)))
    times = [(seconds or guess or 0.0) * task.weight for task, _, _, seconds, guess, _ in found]
    total = sum(times)
    return [
        Forecast(*entry, share=time / total if total > 0 and time > 0 else None)
        for entry, time in zip(found, times, strict=True)
    ]


def seconds_per_trial(stores: Sequence[RecordStore]) -> tuple[float, str]:
    """Return the wall time that one trial takes, and where the figure comes from."""
    spent, trials = 0.0, 0
    for store in stores:
        by_session: dict[str, list[float]] = {h.session: [h.time_unix] for h in store.view().headers}
        for summary in store.view().summaries:
            if summary.session in by_session:
                by_session[summary.session].append(summary.time_unix)
                trials += summary.kind == "trial"
        spent += sum(max(times) - min(times) for times in by_session.values())
    if trials < 8 or spent <= 0:
        return TRIAL_SECONDS, "typical of two cores"
    return spent / trials, f"as the {trials} trials of the records took"


def _guess(context: Context, seed: int) -> float | None:
    if not context.sketches:
        return None
    rng = np.random.default_rng(seed)
    scorer = Scorer(context.hardware, RunModel(context.hardware, seed), 0)
    best: list[float] = []
    for sketch in context.sketches.values():
        scores = scorer.score(sketch, sketch.sample(rng, _SAMPLES))
        if len(scores):
            best.append(float(np.min(scores)))
    return min(best, default=None)
