"""Does a fresh process measure what ``tune`` reported?

``python -m scripts.bench.agreement --suite first --trials 64``: tunes, compiles with the log, saves the
model, and times in a process that has none of the tuner's state: the kernel alone, rebuilt from the log and
called from Python, which is what ``tune`` reports, and whole calls of the saved model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench import ours
from scripts.bench.comparison import say
from scripts.bench.contestant import ROOT, environment
from scripts.bench.machine import describe
from scripts.bench.problem import Problem
from scripts.bench.problems import problem_of, problems_of
from search_space.hardware import available_cores
from tuner.api import compile

REPEATS = 20
WARM_SECONDS = 0.01
TURN_SECONDS = 0.03


def fresh_times(problem: Problem, log: str, threads: int) -> dict[str, float]:
    """Measure the best kernel of a log in a fresh process.

    Args:
        problem: The operator.
        log: Path of the log.
        threads: Threads of the kernel.

    Returns:
        ``kernel`` and ``model``: median seconds.

    Raises:
        subprocess.CalledProcessError: If the process fails.
    """
    words = ["scripts.bench.agreement", "--measure", problem.text, "--log", log, "--threads", str(threads)]
    with tempfile.TemporaryDirectory() as scratch:
        model = compile(problem.text, records=log, threads=threads).save(Path(scratch) / "model.so")
        answer = subprocess.run(
            [sys.executable, "-m", *words, "--model", str(model)],
            cwd=ROOT,
            env=environment(threads),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    times: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return times


def measure(text: str, log: str, model: str, threads: int) -> dict[str, float]:
    """Measure in this process; see :func:`fresh_times`."""
    from scripts.bench.sides.kernel import tensor_of
    from scripts.bench.sides.tirtune import scheduled
    from scripts.bench.worker import time_call
    from search_space.tvm_api import IRModule, tvm
    from tuner.compiled_model import load
    from tuner.measure.build import compile_module
    from tuner.placement import beside_workers

    problem = problem_of(text)
    function, target, _ = scheduled(text, log, threads)
    arrays = problem.arrays()
    tensors = [tensor_of(arrays[spec.name], spec.dtype) for spec in problem.inputs]
    tensors.append(tvm.runtime.empty(problem.output.shape, problem.output.dtype))
    call = partial(compile_module(IRModule({"main": function}), target).jit()["main"], *tensors)
    call()
    with beside_workers():
        kernel = median(time_call(call, WARM_SECONDS, TURN_SECONDS) for _ in range(REPEATS))
    return {"kernel": kernel, "model": load(model).benchmark(repeats=200, warmup=50).median}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="first")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--logs", type=Path, default=Path("out/logs"))
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--reuse", action="store_true", help="take our finished runs of --logs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--log", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.measure is not None:
        print(json.dumps(measure(a.measure, a.log, a.model, a.threads)))
        return
    rows: list[dict[str, Any]] = []
    for problem in problems_of(a.suite.split(";") if ":" in a.suite else a.suite.split(",")):
        say(f"{problem.text}: tuning, then a fresh process")
        run = ours.run(problem, a.trials, 0, a.threads, a.logs, reuse=a.reuse)
        times = fresh_times(problem, run.log, a.threads)
        if run.best_seconds is not None:
            off = times["kernel"] / run.best_seconds - 1.0
            rows.append({"workload": problem.text, "reported": run.best_seconds, **times, "off": off})
    print("| operator | reported, ms | fresh kernel, ms | off | fresh model, ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        cells = [f"{row[name] * 1e3:.4g}" for name in ("reported", "kernel", "model")]
        print(f"| {row['workload']} | {cells[0]} | {cells[1]} | {row['off']:+.1%} | {cells[2]} |")
    typical = median(abs(row["off"]) for row in rows)
    print(f"\nmedian difference {typical:.1%} over {len(rows)} operators")
    if a.json is not None:
        document = {"rows": rows, "median_difference": typical, "machine": describe(a.threads)}
        a.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
