"""What a session needs to go on where earlier ones stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from records.ranking import Ranked, TaskKey, group_by_task, rank
from records.summary import Summary


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """Everything measured of one task on one machine.

    Attributes:
        task: The task.
        summaries: Its records in the order of measurement; load them to refit a model.
        measured: Keys of the plans that were measured, failed ones included: none needs it again.
        trials: Trials spent (baselines and confirmations are none).
        failures: Failed trials by stage.
        baseline_seconds: Latest time of the untuned program, or ``None``.
        ranked: The valid plans, best first.
        best_after_trial: After each trial, the best median so far in seconds, or ``None`` before there
            is a valid one; a scheduler rebuilds its slopes from it.
        search_seconds: Search time spent.
        build_seconds: Build time spent.
        run_seconds: Run time spent.
    """

    task: TaskKey
    summaries: Sequence[Summary]
    measured: frozenset[str]
    trials: int
    failures: Mapping[str, int]
    baseline_seconds: float | None
    ranked: Sequence[Ranked]
    best_after_trial: Sequence[float | None]
    search_seconds: float
    build_seconds: float
    run_seconds: float

    @property
    def best(self) -> Ranked | None:
        """The best valid plan, or ``None``."""
        return self.ranked[0] if self.ranked else None


def histories(summaries: Sequence[Summary]) -> dict[TaskKey, TaskHistory]:
    """Return the history of every task among some records."""
    return {task: history(task, group) for task, group in group_by_task(summaries).items()}


def history(task: TaskKey, summaries: Sequence[Summary]) -> TaskHistory:
    """Sum up what was measured of one task.

    Args:
        task: The task, with the machine and thread count that resume.
        summaries: Records; those of other tasks must have been left out (see :func:`histories`).

    Returns:
        The history; an empty one when there is no record.
    """
    ordered = sorted(summaries, key=lambda s: (s.time_unix, s.session, s.round, s.trial))
    trials = [summary for summary in ordered if summary.kind == "trial"]
    curve: list[float | None] = []
    best: float | None = None
    for trial in trials:
        if trial.is_valid and trial.median_seconds is not None:
            best = trial.median_seconds if best is None else min(best, trial.median_seconds)
        curve.append(best)
    baselines = [s.median_seconds for s in ordered if s.kind == "baseline" and s.is_valid]
    return TaskHistory(
        task=task,
        summaries=tuple(ordered),
        measured=frozenset(summary.plan_key for summary in ordered),
        trials=len(trials),
        failures=dict(Counter(s.stage for s in trials if s.stage is not None)),
        baseline_seconds=baselines[-1] if baselines else None,
        ranked=tuple(rank(ordered)),
        best_after_trial=tuple(curve),
        search_seconds=sum(s.search_seconds for s in ordered),
        build_seconds=sum(s.build_seconds for s in ordered),
        run_seconds=sum(s.run_seconds for s in ordered),
    )
