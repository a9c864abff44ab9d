"""What other tasks found is tried first: their best schedules, carried to this task's extents.

Sources are the tasks of the same run and the measured workloads of the log. Only sketches of the same name
and structure exchange decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from records.apply import DoesNotApply, load_workload
from records.ranking import group_by_task, rank
from records.store import LogView, RecordStore
from search_space.candidate import context_of
from search_space.decisions import DecisionSpace
from search_space.sketch import Sketch
from search_space.transfer import carry, is_alike
from tuner.task_run import TaskRun

SEEDS = 4
"""Seeds of one task: a quarter of the usual batch."""
LOGGED_WORKLOADS = 2
"""Other workloads of the log whose sketches are derived for one task: each takes about half a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A good schedule of another workload.

    Attributes:
        sketch: Name of its sketch.
        space: What its decisions mean.
        row: The decisions.
        flops: Size of that workload.
    """

    sketch: str
    space: DecisionSpace
    row: tuple[int, ...]
    flops: float


class Transfer:
    """Finds seeds for tasks that nothing was measured of.

    Args:
        target: The TVM target.
        store: The log, if there is one.
        view: What it holds of this target and thread count, all workloads.
    """

    def __init__(self, target: Any, store: RecordStore | None = None, view: LogView | None = None) -> None:
        self._target = target
        self._store = store
        self._view = view
        self._logged: dict[str, list[Source]] = {}

    def seeds(self, run: TaskRun, runs: Sequence[TaskRun]) -> list[tuple[str, NDArray[np.int32]]]:
        """Return sketches and decisions for a task, from its nearest relatives.

        Args:
            run: A task that nothing was measured of.
            runs: All tasks of the run.
        """
        sources = [s for other in runs if other is not run for s in _best_of(other)]
        sources += self._from_log(run, {r.task.key for r in runs})
        sources.sort(key=lambda source: abs(log2(source.flops / run.task.workload.flops)))
        found: dict[tuple[str, bytes], tuple[str, NDArray[np.int32]]] = {}
        for source in sources:
            sketch = run.context.sketches.get(source.sketch)
            if sketch is None or len(found) >= SEEDS:
                continue
            row = _carried(source, sketch)
            if row is not None:
                found.setdefault((sketch.name, row.tobytes()), (sketch.name, row))
        return list(found.values())

    def _from_log(self, run: TaskRun, own: set[str]) -> list[Source]:
        if self._store is None or self._view is None:
            return []
        flops = run.task.workload.flops
        others = {
            key: line.workload
            for key, line in self._view.programs.items()
            if key not in own and not key.startswith("base:") and line.workload.flops > 0
        }
        roles = [(len(a.shape), a.dtype) for a in run.task.workload.args]
        alike = [k for k, w in others.items() if [(len(a.shape), a.dtype) for a in w.args] == roles]
        alike.sort(key=lambda key: abs(log2(others[key].flops / flops)))
        return [source for key in alike[:LOGGED_WORKLOADS] for source in self._logged_sources(key)]

    def _logged_sources(self, key: str) -> list[Source]:
        if key not in self._logged:
            self._logged[key] = list(self._read(key))
        return self._logged[key]

    def _read(self, key: str) -> Iterable[Source]:
        assert self._store is not None and self._view is not None
        try:
            workload = load_workload(self._view.programs[key])
        except DoesNotApply:  # another version of TVM wrote it: there is nothing to carry over
            return
        sketches = context_of(workload, self._target).sketches
        summaries = [s for s in self._view.summaries if s.key == key]
        for group in group_by_task(summaries).values():
            for record in self._store.load([ranked.summary for ranked in rank(group, 2)]):
                yield from _source_of(record.plan, sketches, workload.flops)


def _best_of(run: TaskRun) -> list[Source]:
    plan = run.best_plan
    return [] if plan is None else list(_source_of(plan, run.context.sketches, run.task.workload.flops))


def _source_of(plan: Any, sketches: dict[str, Sketch], flops: float) -> Iterable[Source]:
    sketch = sketches.get(str(plan.get("sketch"))) if plan.get("kind") == "sketch" else None
    if sketch is None or len(plan["row"]) != len(sketch.space.slots):
        return
    row = np.array(plan["row"], dtype=np.int32)
    if bool(np.all((row >= 0) & (row < sketch.space.sizes))):
        yield Source(sketch.name, sketch.space, tuple(int(v) for v in row), flops)


def _carried(source: Source, sketch: Sketch) -> NDArray[np.int32] | None:
    if not is_alike(source.space, sketch.space):
        return None
    return carry(source.space, np.array(source.row, dtype=np.int32), sketch)
