"""How the best schedule of every task looks, what came close, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from records.encoding import unpack_text
from records.errors import InvalidLine
from records.ranking import Ranked, group_by_task
from records.resume import history
from records.store import RecordStore
from records.summary import Summary
from tuner.report.failures import Cause, causes_of
from tuner.report.wording import trace_in_words


@dataclass(frozen=True, slots=True)
class Explanation:
    """One task of a log.

    Attributes:
        name: Readable name.
        key: Look-up key of the workload.
        threads: Thread count.
        baseline_seconds: Time of the untuned program, or None.
        best: The best plan, or None where nothing worked.
        sketch: Name of its sketch; ``default`` for the untuned program, ``trace`` for an import.
        steps: Its schedule in words.
        runner_up: The second-best plan with other steps, or None.
        differences: What the runner-up does otherwise: lines with ``-`` (best) and ``+`` (runner-up).
        trials: Trials spent.
        failures: Failed trials by stage.
        causes: Why they failed, most frequent first.
        spent: Seconds of search, of building (several at once count each) and of running, over all trials.
        sketches: Sketch name to the number of its trials and its best time in seconds, or None.
    """

    name: str
    key: str
    threads: int
    baseline_seconds: float | None
    best: Ranked | None
    sketch: str
    steps: tuple[str, ...]
    runner_up: Ranked | None
    differences: tuple[str, ...]
    trials: int
    failures: dict[str, int]
    causes: tuple[Cause, ...]
    spent: dict[str, float]
    sketches: dict[str, tuple[int, float | None]]


def explain(store: RecordStore, workload: str | None = None) -> list[Explanation]:
    """Explain the tasks of a log.

    Args:
        store: The log.
        workload: Only tasks whose name contains this text, or with this key.
    """
    view = store.view()
    found = []
    for task, group in group_by_task(view.summaries).items():
        name = group[0].name
        if workload is not None and workload not in name and workload != task.key:
            continue
        past = history(task, group)
        best = past.best
        sketch, steps = _plan(store, best)
        runner_up, differences = _runner_up(store, past.ranked, steps)
        found.append(
            Explanation(
                name=name,
                key=task.key,
                threads=task.threads,
                baseline_seconds=past.baseline_seconds,
                best=best,
                sketch=sketch,
                steps=tuple(steps),
                runner_up=runner_up,
                differences=differences,
                trials=past.trials,
                failures=dict(past.failures),
                causes=tuple(causes_of(store, view, task.key)) if past.failures else (),
                spent={"search": past.search_seconds, "build": past.build_seconds, "run": past.run_seconds},
                sketches=_sketches(store, [s for s in past.summaries if s.kind == "trial"]),
            )
        )
    return found


def _plan(store: RecordStore, ranked: Ranked | None) -> tuple[str, list[str]]:
    if ranked is None:
        return "", []
    try:
        (record,) = store.load([ranked.summary])
        kind = str(record.plan.get("kind"))
        sketch = str(record.plan.get("sketch", kind))
        if record.trace is None:
            return sketch, []
        return sketch, trace_in_words(msgspec.json.decode(unpack_text(record.trace)))
    except (InvalidLine, msgspec.MsgspecError, RecursionError) as error:
        return "", [f"cannot be read: {error}"]


def _runner_up(
    store: RecordStore, ranked: Sequence[Ranked], steps: list[str]
) -> tuple[Ranked | None, tuple[str, ...]]:
    for other in ranked[1:4]:
        theirs = _plan(store, other)[1]
        gone = [f"- {step}" for step in steps if step not in theirs]
        new = [f"+ {step}" for step in theirs if step not in steps]
        if gone or new:
            return other, (*gone, *new)
    return None, ()


def _sketches(store: RecordStore, trials: Sequence[Summary]) -> dict[str, tuple[int, float | None]]:
    found: dict[str, tuple[int, float | None]] = {}
    for record in store.load(trials):
        name = str(record.plan.get("sketch", record.plan.get("kind")))
        count, best = found.get(name, (0, None))
        right = record.verdict is None or record.verdict.ok
        if record.timing is not None and record.failure is None and right:
            seconds = record.timing.median_seconds
            best = seconds if best is None else min(best, seconds)
        found[name] = (count + 1, best)
    return found
