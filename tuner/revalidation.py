"""Measuring the best records of a log again, on this machine, to see which still hold."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from records.apply import DoesNotApply, load_workload, program_lookup
from records.building import lines_of, program_line, replay_plan, workload_info
from records.environment import capture_environment, distribution_version, isa_features
from records.errors import InvalidLine
from records.ranking import Ranked, TaskKey, group_by_task, rank
from records.schema import Header, Line, TuningRecord
from records.store import LogView, RecordStore
from records.trace_check import check_program, check_trace
from search_space.hardware import available_cores, hardware_of, resolve_target, target_text
from search_space.workload import Workload
from tuner.errors import JobFailed
from tuner.measure.base import Measurer, MeasureResult, MeasureTask
from tuner.measure.local import LocalMeasurer

Row = dict[str, Any]


def revalidate(
    source: RecordStore,
    output: RecordStore | None,
    *,
    top: int,
    threads: int | None = None,
    measurer: Measurer | None = None,
) -> list[Row]:
    """Replay the best records of every task, check and time them here.

    The traces alone are replayed: a record of another generator or of an import does as well.

    Args:
        source: What to read.
        output: Where what survives is written, with this machine's times; nowhere when absent.
        top: Plans of each task.
        threads: Thread count; the recorded one when absent, this machine's CPUs where it is unknown.
        measurer: Where to measure; this machine's own when absent.

    Returns:
        One row per plan: ``workload``, ``key``, ``plan_key``, ``before_seconds``, ``seconds`` and
        ``ratio`` (now over before), ``failure`` (None, or ``stage: message``).
    """
    if measurer is None:
        with LocalMeasurer() as own:
            return revalidate(source, output, top=top, threads=threads, measurer=own)
    view = source.view()
    run = _Run(source, view, output, measurer)
    rows: list[Row] = []
    for task, group in group_by_task(view.summaries).items():
        chosen = [r for r in rank(group) if r.summary.plan_key != "default"][:top]
        if chosen:
            rows += run.task(task, chosen, threads or task.threads or available_cores())
    return rows


class _Run:
    def __init__(
        self, source: RecordStore, view: LogView, output: RecordStore | None, measurer: Measurer
    ) -> None:
        self._source, self._view, self._output, self._measurer = source, view, output, measurer
        self._session = f"revalidate-{uuid.uuid4().hex[:12]}"
        self._trial = 0
        self._has_header = False

    def task(self, task: TaskKey, chosen: Sequence[Ranked], threads: int) -> list[Row]:
        name = chosen[0].summary.name
        try:
            if task.key not in self._view.programs:
                raise DoesNotApply(f"the program of workload {task.key} is not in the log")
            workload = replace(load_workload(self._view.programs[task.key]), name=name)
            target = resolve_target(None, threads)
            measured = MeasureTask(
                workload.key, workload.program(), target_text(target), name, hardware_of(target).cores
            )
            self._measurer.open(measured)
        except (DoesNotApply, InvalidLine, JobFailed) as error:
            return [_row(ranked, None, f"generate: {error}") for ranked in chosen]
        return self._plans(workload, measured, chosen)

    def _plans(self, workload: Workload, task: MeasureTask, chosen: Sequence[Ranked]) -> list[Row]:
        rows: list[Row] = []
        plans: list[tuple[Ranked, TuningRecord, dict[str, Any]]] = []
        for ranked in chosen:
            try:
                (record,) = self._source.load([ranked.summary])
                plan = replay_plan(record, program_lookup(self._view))
                check_trace(plan["trace"])
                if plan["base"] is not None:
                    check_program(plan["base"])
            except InvalidLine as error:
                rows.append(_row(ranked, None, f"generate: {error}"))
            else:
                plans.append((ranked, record, plan))
        # Without an incumbent: every plan gets its full measurement, however slow it has become.
        results = self._measure(task, [plan for _, _, plan in plans])
        for (ranked, record, _), result in zip(plans, results, strict=True):
            if result.failure is not None:
                rows.append(_row(ranked, None, f"{result.failure.stage}: {result.failure.message}"))
                continue
            rows.append(_row(ranked, result.seconds, None))
            self._write(workload, task, record, result)
        return rows

    def _measure(self, task: MeasureTask, plans: list[dict[str, Any]]) -> list[MeasureResult]:
        results: list[MeasureResult] = []
        for plan in plans:
            results += self._measurer.measure(task.key, [plan])
        return results

    def _write(
        self, workload: Workload, task: MeasureTask, record: TuningRecord, result: MeasureResult
    ) -> None:
        if self._output is None:
            return
        environment = capture_environment(task.threads)
        info = workload_info(workload.key, workload.name, workload.args, workload.flops)
        lines: list[Line] = []
        if not self._has_header:
            self._has_header = True
            lines.append(
                Header(
                    session=self._session,
                    time_unix=time.time(),
                    tool=distribution_version("tirtune"),
                    options={"revalidated": self._view.where},
                    environment=environment,
                    isa_features=isa_features(),
                )
            )
        lines.append(program_line(info, workload.program()))
        if record.plan.get("kind") == "sketch":
            result = replace(result, plan=dict(record.plan))
        lines += lines_of(
            result,
            kind="confirmation",
            session=self._session,
            workload=info,
            target=task.target,
            environment=environment,
            time_unix=time.time(),
            trial=self._trial,
            seed=record.seed,
            cache=result.cache,
        )
        self._trial += 1
        self._output.append(lines)


def _row(ranked: Ranked, seconds: float | None, failure: str | None) -> Row:
    return {
        "workload": ranked.summary.name,
        "key": ranked.summary.key,
        "plan_key": ranked.summary.plan_key,
        "before_seconds": ranked.seconds,
        "seconds": seconds,
        "ratio": None if seconds is None else seconds / ranked.seconds,
        "failure": failure,
    }
