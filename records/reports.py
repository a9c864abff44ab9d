"""Tables and details of a log as plain values, for commands to print."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from records.building import full_plan
from records.encoding import unpack_text
from records.errors import InvalidLine
from records.ranking import Ranked, TaskKey, group_by_task, rank
from records.resume import history
from records.store import LogView, RecordStore


def best_rows(view: LogView, limit: int = 1) -> list[dict[str, Any]]:
    """Return the best plans of every task, one row each.

    Args:
        view: What a store holds.
        limit: Plans of each task.

    Returns:
        Rows with task, machine, ``seconds``, ``gflops``, ``baseline_seconds`` and what is known of the check.
    """
    rows = []
    for task, group in group_by_task(view.summaries).items():
        baselines = [s.median_seconds for s in group if s.kind == "baseline" and s.is_valid]
        for position, ranked in enumerate(rank(group, limit)):
            row = _task_columns(task, ranked.summary.name) | _ranked_columns(ranked)
            rows.append(
                row | {"rank": position + 1, "baseline_seconds": baselines[-1] if baselines else None}
            )
    return rows


def stats(view: LogView) -> dict[str, Any]:
    """Return counts and times of a log: all of it, and each task.

    Returns:
        ``records``, ``sessions``, ``programs``, ``problems`` (messages), ``seconds`` and ``tasks`` (rows).
    """
    rows = []
    for task, group in group_by_task(view.summaries).items():
        past = history(task, group)
        rows.append(
            _task_columns(task, group[0].name)
            | {
                "records": len(group),
                "trials": past.trials,
                "failed": sum(past.failures.values()),
                "failures": dict(past.failures),
                "plans": len(past.measured),
                "baseline_seconds": past.baseline_seconds,
                "best_seconds": past.best.seconds if past.best else None,
                "seconds": {
                    "search": past.search_seconds,
                    "build": past.build_seconds,
                    "run": past.run_seconds,
                },
            }
        )
    summaries = view.summaries
    times = [summary.time_unix for summary in summaries]
    return {
        "where": view.where,
        "records": len(summaries),
        "kinds": dict(Counter(summary.kind for summary in summaries)),
        "sessions": len({summary.session for summary in summaries} | {h.session for h in view.headers}),
        "programs": len(view.programs),
        "first_time_unix": min(times, default=None),
        "last_time_unix": max(times, default=None),
        "seconds": {
            "search": sum(s.search_seconds for s in summaries),
            "build": sum(s.build_seconds for s in summaries),
            "run": sum(s.run_seconds for s in summaries),
        },
        "problems": [str(problem) for problem in view.problems],
        "tasks": rows,
    }


def find_records(store: RecordStore, wanted: str, limit: int = 10) -> tuple[int, list[dict[str, Any]]]:
    """Return the full details of records.

    Args:
        store: Where to look.
        wanted: A plan key, the beginning of one, a workload key, a readable name or a part of it, a
            session, or ``#N`` for line N.
        limit: How many to return.

    Returns:
        How many records match, and the first of them as plain values, with plan and trace unpacked,
        ``number`` and, where they have one, the trace as decoded JSON; a damaged part stands as its message
        under ``problem``.
    """
    view = store.view()
    if wanted.startswith("#") and wanted[1:].isdigit():
        chosen = [s for s in view.summaries if s.number == int(wanted[1:])]
    else:
        exact = [s for s in view.summaries if wanted in (s.plan_key, s.key, s.name, s.session)]
        chosen = (
            exact
            or [s for s in view.summaries if s.plan_key.startswith(wanted)]
            or [s for s in view.summaries if wanted in s.name]
        )

    def program_of(key: str) -> str | None:
        return unpack_text(view.programs[key].program) if key in view.programs else None

    details = []
    for summary in chosen[:limit]:
        try:
            (record,) = store.load([summary])
            row = {"number": summary.number} | msgspec.to_builtins(record)
            row["plan"] = full_plan(record, program_of)
            if record.trace is not None:
                row["trace"] = msgspec.json.decode(unpack_text(record.trace))
        except (InvalidLine, msgspec.MsgspecError, RecursionError) as error:
            row = {"number": summary.number, "plan_key": summary.plan_key, "problem": str(error)}
        details.append(row)
    return len(chosen), details


def _task_columns(task: TaskKey, name: str) -> dict[str, Any]:
    return {
        "workload": name,
        "key": task.key,
        "target": task.target,
        "threads": task.threads,
        "cpu": task.cpu,
        "gpu": task.gpu,
    }


def _ranked_columns(ranked: Ranked) -> dict[str, Any]:
    summary = ranked.summary
    return {
        "seconds": ranked.seconds,
        "gflops": summary.flops / ranked.seconds / 1e9,
        "is_checked": ranked.is_checked,
        "is_confirmed": ranked.is_confirmed,
        "measurements": ranked.measurements,
        "plan_key": summary.plan_key,
        "number": summary.number,
        "session": summary.session,
        "has_trace": summary.has_trace,
    }
