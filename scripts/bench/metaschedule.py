"""The baseline: MetaSchedule tunes the very PrimFunc that we tune; its databases are kept.

``python -m scripts.bench.metaschedule gmm:1,512,512,512 --trials 128 --databases DIR`` tunes in this process;
:func:`baseline` does so in one of its own, or takes what an earlier run left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.bench.contestant import run_script
from scripts.bench.problem import Problem

NOTES = "run.json"
"""File in a database's folder that says how it came about; written last, so it marks a finished run."""
BUILD_TIMEOUT_SECONDS = 120.0
"""Its default is 30; the first build of a builder process imports TVM's intrinsics, which alone takes up to
25 s on a slow core, and a process that is killed for that starts again from nothing."""


@dataclass(frozen=True, slots=True)
class Point:
    """The state of a tuning run after some trials.

    Attributes:
        trial: Trials so far.
        wall_seconds: Wall time so far.
        best_seconds: Best time recorded so far; None while nothing has worked.
    """

    trial: int
    wall_seconds: float
    best_seconds: float | None


@dataclass(frozen=True, slots=True)
class Tuned:
    """A finished run of MetaSchedule, or its beginning.

    Attributes:
        folder: Where the database is.
        trials: Trials that count: the first lines of the database, failed ones included.
        failed: Trials that have no time.
        wall_seconds: Wall time until the last of them; inside a batch it is divided evenly.
        best_seconds: Best time recorded.
        curve: One point a trial.
        cpu: The machine's CPU.
        threads: Threads of the kernels.
    """

    folder: str
    trials: int
    failed: int
    wall_seconds: float
    best_seconds: float | None
    curve: tuple[Point, ...]
    cpu: str
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class BaselineFailed(Exception):
    """MetaSchedule could not tune an operator."""


def baseline(problem: Problem, trials: int, databases: Path, threads: int, cpu: str) -> Tuned:
    """Return the baseline's run of at least so many trials, tuning now if none is kept.

    Args:
        problem: The operator.
        trials: Trials.
        databases: Folder of the databases, one folder per operator and number of trials below.
        threads: Threads of the kernels.
        cpu: This machine's CPU: databases of another one are not used.

    Raises:
        BaselineFailed: If it cannot be tuned; its last words are in the message.
    """
    kept = finished(problem, databases, threads, cpu)
    enough = [count for count in sorted(kept) if count >= trials]
    if enough:
        return prefix(kept[enough[0]], trials)
    folder = databases / problem.slug / str(trials)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    words = [problem.text, "--trials", trials, "--folder", folder, "--threads", threads, "--cpu", cpu]
    failure = run_script("scripts.bench.metaschedule", words, threads, folder / "output.txt")
    if failure:
        raise BaselineFailed(f"{problem.text}: MetaSchedule {failure}")
    return prefix(_notes(folder), trials)


def finished(problem: Problem, databases: Path, threads: int, cpu: str) -> dict[int, dict[str, Any]]:
    """Return the notes of the operator's finished runs on such a machine, by number of trials."""
    found: dict[int, dict[str, Any]] = {}
    for notes in (databases / problem.slug).glob(f"*/{NOTES}"):
        values = _notes(notes.parent)
        if values["threads"] == threads and values["cpu"] == cpu and values["text"] == problem.text:
            found[len(times_of(values["batches"]))] = values
    return found


def times_of(batches: Sequence[dict[str, Any]]) -> list[tuple[float, float | None]]:
    """Return wall time and run time of every trial; a batch's wall time is divided evenly."""
    flat: list[tuple[float, float | None]] = []
    began = 0.0
    for batch in batches:
        runs = batch["run_seconds"]
        step = (batch["wall_seconds"] - began) / max(1, len(runs))
        flat += [(began + step * (i + 1), run) for i, run in enumerate(runs)]
        began = batch["wall_seconds"]
    return flat


def prefix(notes: dict[str, Any], trials: int) -> Tuned:
    """Return the first trials of a run as if it had ended there."""
    times = times_of(notes["batches"])[:trials]
    curve: list[Point] = []
    best: float | None = None
    for number, (wall, run) in enumerate(times, 1):
        if run is not None:
            best = run if best is None else min(best, run)
        curve.append(Point(number, wall, best))
    wall = curve[-1].wall_seconds if curve else 0.0
    if len(times) == len(times_of(notes["batches"])):
        wall = notes["wall_seconds"]
    return Tuned(
        notes["folder"],
        len(times),
        sum(run is None for _, run in times),
        wall,
        best,
        tuple(curve),
        notes["cpu"],
        notes["threads"],
    )


def _notes(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / NOTES).read_text())
    return {**values, "folder": str(folder.resolve())}


def tune(text: str, trials: int, folder: Path, threads: int, cpu: str, seed: int) -> None:
    """Tune in this process and leave database and notes in a folder.

    The target names CPU and core count; ``TVM_NUM_THREADS`` must be in the environment.
    """
    from search_space.hardware import resolve_target, target_text
    from search_space.tvm_api import tvm
    from tuner.workloads import named_workload

    meta_schedule = tvm.s_tir.meta_schedule
    # Nothing that a process loads once is charged, on either side; what its builder processes load is.
    import_module("tvm.s_tir.tensor_intrin")
    batches: list[dict[str, Any]] = []
    began = time.monotonic()

    @tvm.ir.utils.derived_object
    class Watch(meta_schedule.measure_callback.PyMeasureCallback):  # type: ignore[name-defined,misc]
        """Notes the time of every trial of a batch."""

        def apply(self, scheduler: Any, task: int, candidates: Any, builds: Any, runs: Any) -> None:
            """Note one batch."""
            seconds = [
                None
                if run.run_secs is None or run.error_msg is not None
                else sum(float(s) for s in run.run_secs) / len(run.run_secs)
                for run in runs
            ]
            batches.append({"wall_seconds": time.monotonic() - began, "run_seconds": seconds})

    target = resolve_target(None, threads)
    function = named_workload(text).func.with_attr("global_symbol", "main")
    callbacks = [*meta_schedule.measure_callback.MeasureCallback.create("default"), Watch()]
    meta_schedule.tune_tir(
        function,
        target,
        str(folder),
        trials,
        builder=meta_schedule.builder.LocalBuilder(timeout_sec=BUILD_TIMEOUT_SECONDS),
        measure_callbacks=callbacks,
        seed=seed,
    )
    notes = {
        "text": text,
        "trials": trials,
        "wall_seconds": time.monotonic() - began,
        "batches": batches,
        "threads": threads,
        "cpu": cpu,
        "seed": seed,
        "target": target_text(target),
        "time_unix": time.time(),
    }
    (folder / NOTES).write_text(json.dumps(notes))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", default="")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    tune(
        arguments.text,
        arguments.trials,
        arguments.folder,
        arguments.threads,
        arguments.cpu,
        arguments.seed,
    )


if __name__ == "__main__":
    main()
