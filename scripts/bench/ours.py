"""Our side of the tuning: ``tuner.tune`` in a process of its own, the log kept.

``python -m scripts.bench.ours gmm:1,512,512,512 --trials 64 --log LOG --notes FILE``
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from records.opening import opened
from scripts.bench.contestant import run_script
from scripts.bench.metaschedule import Point
from scripts.bench.problem import Problem


@dataclass(frozen=True, slots=True)
class Run:
    """A tuning run of ours.

    Attributes:
        log: Where the measurements are.
        seed: Its seed.
        trials: Measurements spent.
        failed: Those that failed.
        wall_seconds: Wall time of ``tuner.tune``.
        seconds: That time by part: ``search``, ``build``, ``run``.
        baseline_seconds: Time of the untuned program, if it was timed.
        best_seconds: Best time as the run reported it.
        curve: One point a trial.
    """

    log: str
    seed: int
    trials: int
    failed: int
    wall_seconds: float
    seconds: Mapping[str, float]
    baseline_seconds: float | None
    best_seconds: float | None
    curve: tuple[Point, ...]

    @property
    def measuring_share(self) -> float:
        """Share of the wall time spent building or running candidates."""
        return (self.seconds["build"] + self.seconds["run"]) / self.wall_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "measuring_share": self.measuring_share}


class RunFailed(Exception):
    """Our tuner could not tune an operator."""


def run(
    problem: Problem,
    trials: int,
    seed: int,
    threads: int,
    logs: Path,
    options: Mapping[str, Any] | None = None,
    reuse: bool = False,
) -> Run:
    """Tune one operator in a process of its own.

    Args:
        problem: The operator.
        trials: Trials.
        seed: Seed.
        threads: Threads of the kernels.
        logs: Folder of the logs; the log of the same operator, trials and seed is replaced.
        options: Further fields of ``tuner.TuneOptions``.
        reuse: Take a finished run of the same operator, trials and seed if there is one.

    Raises:
        RunFailed: If it cannot be tuned; its last words are in the message.
    """
    logs.mkdir(parents=True, exist_ok=True)
    stem = f"{problem.slug}.{trials}.{seed}"
    log, notes = logs / f"{stem}.jsonl", logs / f"{stem}.json"
    if not (reuse and notes.exists() and log.exists()):
        log.unlink(missing_ok=True)
        notes.unlink(missing_ok=True)
        words = [problem.text, "--trials", trials, "--seed", seed, "--threads", threads]
        words += ["--log", log.resolve(), "--notes", notes.resolve(), "--options", json.dumps(options or {})]
        failure = run_script("scripts.bench.ours", words, threads, logs / f"{stem}.txt")
        if failure:
            raise RunFailed(f"{problem.text}: tuning {failure}")
    values = json.loads(notes.read_text())
    return Run(**values, log=str(log.resolve()), curve=curve_of(log))


def curve_of(log: Path) -> tuple[Point, ...]:
    """Read the best time after every trial from a log; what a batch found counts when all of it is over."""
    with opened([str(log)]) as (store,):
        view = store.view()
        began = view.headers[0].time_unix
        trials = [s for s in view.summaries if s.kind == "trial"]
    ends: dict[int, float] = {}
    for trial in trials:
        ends[trial.round] = max(ends.get(trial.round, 0.0), trial.time_unix - began)
    points: list[Point] = []
    best: float | None = None
    for summary in sorted(trials, key=lambda trial: trial.round):
        if summary.is_valid and summary.median_seconds is not None:
            best = summary.median_seconds if best is None else min(best, summary.median_seconds)
        points.append(Point(len(points) + 1, ends[summary.round], best))
    return tuple(points)


def main() -> None:
    """Tune in this process and write the notes."""
    from tuner.api import tune
    from tuner.options import TuneOptions

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, default={})
    a = parser.parse_args()
    options = TuneOptions(trials=a.trials, seed=a.seed, threads=a.threads, log=a.log, **a.options)
    began = time.monotonic()
    result = tune(a.text, options=options)
    wall = time.monotonic() - began
    (task,) = result.tasks
    a.notes.write_text(
        json.dumps(
            {
                "seed": a.seed,
                "trials": task.trials,
                "failed": task.failed,
                "wall_seconds": wall,
                "seconds": {name: result.seconds[name] for name in ("search", "build", "run")},
                "baseline_seconds": task.baseline_seconds,
                "best_seconds": task.best_seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
