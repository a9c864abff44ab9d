"""Going on where earlier sessions of the same log stopped."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress

import msgspec
import numpy as np

from records.apply import program_lookup
from records.building import full_plan
from records.ranking import task_key
from records.resume import histories
from records.schema import Environment
from records.store import LogView, RecordStore
from tuner.task_run import TaskRun


def restore_task(
    run: TaskRun, store: RecordStore, view: LogView, target: str, environment: Environment
) -> int:
    """Give a task everything that the log knows of it on this machine.

    Counts the spent trials, tells the strategy every measurement (so that nothing is measured twice
    and the model is refitted), rebuilds the scheduler's curve and restores the incumbent.

    Args:
        run: A task that nothing was measured of in this session.
        store: The log.
        view: Its records of this task, target and thread count.
        target: Canonical JSON of the target.
        environment: This machine.

    Returns:
        The number of trials taken over.
    """
    history = histories(view.summaries).get(task_key(run.task.key, target, environment))
    if history is None or not history.trials:
        return 0
    by_sketch: dict[str, list[tuple[list[int], float | None, Mapping[str, float]]]] = {}
    for record in store.load([s for s in history.summaries if s.kind == "trial"]):
        row = record.plan.get("row")
        if record.plan.get("kind") != "sketch" or not isinstance(row, list):
            continue
        seconds = record.timing.median_seconds if record.timing and _is_right(record) else None
        by_sketch.setdefault(str(record.plan["sketch"]), []).append((row, seconds, record.facts))
    for name, seen in by_sketch.items():
        sketch = run.context.sketches.get(name)
        if sketch is None:
            continue
        fitting = [entry for entry in seen if len(entry[0]) == len(sketch.space.slots)]
        rows = np.array([row for row, _, _ in fitting], dtype=np.int32).reshape(len(fitting), -1)
        inside = np.all((rows >= 0) & (rows < sketch.space.sizes), axis=1) if len(rows) else np.zeros(0, bool)
        right = list(compress(fitting, inside))
        run.strategy.observe(name, rows[inside], [s for _, s, _ in right], [f for _, _, f in right])
    run.trials = history.trials
    run.known_baseline_seconds = history.baseline_seconds
    run.failed = sum(n for stage, n in history.failures.items() if stage != "timeout")
    run.curve.best = [b for b in history.best_after_trial[:: max(1, history.trials // 8)] if b is not None]
    if history.best is not None:
        record = store.load([history.best.summary])[0]
        plan = full_plan(record, program_lookup(view))
        run.restore(dict(msgspec.to_builtins(plan)), history.best.seconds)
    return history.trials


def _is_right(record: object) -> bool:
    verdict = getattr(record, "verdict", None)
    return verdict is None or bool(verdict.ok)
