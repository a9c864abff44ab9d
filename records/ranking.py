"""Which plan of a task is best, and by which rule.

A task is a workload on a target, on one machine, with a thread count. A plan may have been measured
several times; its standing is

1. out, if any measurement gave a wrong result, or if its latest confirmation failed;
2. else the time of its latest confirmation, because a confirmation repeats a winner's measurement;
3. else the median of its fastest valid measurement.

Plans whose outputs were checked come before unchecked ones, then confirmed ones (run in turns with a
rival) before those measured once, whose time may be a lucky one, then the faster before the slower. The
baseline counts as checked: it is what the others are compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from records.schema import Environment
from records.summary import Summary


class TaskKey(NamedTuple):
    """What times are comparable within.

    Attributes:
        key: Structural hash of the workload.
        target: Canonical JSON of the target.
        threads: Thread count.
        cpu: Model name of the CPU.
        isa: Digest of its features.
        gpu: Name of the device, empty on a CPU.
    """

    key: str
    target: str
    threads: int
    cpu: str
    isa: str
    gpu: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """The standing of one plan.

    Attributes:
        summary: The measurement that decides; it has a trace if any equal one has.
        seconds: Its median.
        is_checked: Whether the outputs were compared with the untuned program's, or it is that program.
        is_confirmed: Whether the time is a confirmation's.
        measurements: How often the plan was measured.
    """

    summary: Summary
    seconds: float
    is_checked: bool
    is_confirmed: bool
    measurements: int

    @property
    def order(self) -> tuple[bool, bool, float, str]:
        """Sorting key: better first, ties broken the same way everywhere."""
        return (not self.is_checked, not self.is_confirmed, self.seconds, self.summary.plan_key)


def task_key(key: str, target: str, environment: Environment) -> TaskKey:
    """Return the task that a measurement in an environment belongs to."""
    return TaskKey(key, target, environment.threads, environment.cpu, environment.isa, environment.gpu)


def task_of(summary: Summary) -> TaskKey:
    """Return the task of a record."""
    return task_key(summary.key, summary.target, summary.environment)


def group_by_task(summaries: Iterable[Summary]) -> dict[TaskKey, list[Summary]]:
    """Return the records of each task, in the order in which tasks first occur."""
    groups: dict[TaskKey, list[Summary]] = {}
    known: dict[tuple[str, str, int], TaskKey] = {}
    for summary in summaries:
        quick = (summary.key, summary.target, id(summary.environment))
        task = known.get(quick)
        if task is None:
            task = known[quick] = task_of(summary)
        group = groups.get(task)
        if group is None:
            groups[task] = [summary]
        else:
            group.append(summary)
    return groups


def rank(summaries: Iterable[Summary], limit: int | None = None) -> list[Ranked]:
    """Order the plans of one task, best first.

    Args:
        summaries: Records of one task.
        limit: How many to return; all when absent.
    """
    plans: dict[str, list[Summary]] = {}
    for summary in summaries:
        plans.setdefault(summary.plan_key, []).append(summary)
    standings = [standing for group in plans.values() if (standing := _standing(group)) is not None]
    standings.sort(key=lambda standing: standing.order)
    return standings if limit is None else standings[:limit]


def best_per_task(summaries: Iterable[Summary]) -> dict[TaskKey, Ranked]:
    """Return the best plan of every task that has a valid one."""
    best = {}
    for task, group in group_by_task(summaries).items():
        ranked = rank(group, 1)
        if ranked:
            best[task] = ranked[0]
    return best


def _standing(group: list[Summary]) -> Ranked | None:
    if any(summary.ok is False or summary.stage == "wrong_result" for summary in group):
        return None
    valid = [summary for summary in group if summary.is_valid]
    if not valid:
        return None
    confirmations = [summary for summary in group if summary.kind == "confirmation"]
    if confirmations:
        latest = max(confirmations, key=lambda s: (s.time_unix, s.session, s.trial, s.median_seconds or 0.0))
        if not latest.is_valid:
            return None
        decisive = latest
    else:
        decisive = min(valid, key=lambda s: (s.median_seconds, s.time_unix, s.session, s.trial))
    seconds = decisive.median_seconds
    assert seconds is not None
    is_checked = any(summary.ok is True or summary.kind == "baseline" for summary in group)
    if not decisive.has_trace:
        replayable = [summary for summary in valid if summary.has_trace]
        decisive = replayable[0] if replayable else decisive
    return Ranked(decisive, seconds, is_checked, bool(confirmations), len(group))
