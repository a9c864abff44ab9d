"""Ours against MetaSchedule, PyTorch, ONNX Runtime and OpenVINO, operator by operator.

``python -m scripts.bench.ops --suite first --trials 64 --databases DIR --json OUT``
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench.comparison import Plan, Tuning, remeasure, say, tune
from scripts.bench.interleave import ROUNDS, call_overheads
from scripts.bench.machine import describe
from scripts.bench.peak import Yardstick, peak_flops
from scripts.bench.problems import SUITES, problems_of
from scripts.bench.sides import MODULES
from scripts.bench.table import summary, table
from search_space.hardware import available_cores
from tuner.errors import UserError


def main() -> None:
    """Read the command line, compare, print the table, write the JSON."""
    a = _parser().parse_args()
    against = tuple(word for word in a.against.split(",") if word)
    unknown = [word for word in against if word not in MODULES or word == "tirtune"]
    if unknown:
        sys.exit(f"--against names {unknown[0]!r}: known are {', '.join(list(MODULES)[1:])}")
    try:
        problems = problems_of(a.suite.split(";") if ":" in a.suite else a.suite.split(","))
    except UserError as error:
        sys.exit(str(error))
    threads = a.threads or available_cores()
    began = time.monotonic()
    machine: dict[str, Any] = describe(threads)
    plan = Plan(
        trials=a.trials,
        seeds=tuple(range(a.seeds)),
        against=against,
        databases=a.databases,
        logs=a.logs,
        threads=threads,
        cpu=machine["cpu"],
        reach=a.reach or a.trials,
        rounds=a.rounds,
        reuse=a.reuse,
        options=a.options,
    )
    tunings: list[Tuning] = [tune(problem, plan) for problem in problems]
    # From here on nothing is tuned: every figure of the table is of one stretch of time.
    say("measuring the machine's peak and the cost of a call")
    machine["peak_flops"] = {"threads": peak_flops(threads), "one_thread": peak_flops(1)}
    machine["call_overhead_seconds"] = call_overheads(["tirtune", *against], threads)
    results: list[dict[str, Any]] = []
    with Yardstick(threads) as yardstick:
        for problem, tuning in zip(problems, tunings, strict=True):
            results.append(remeasure(problem, plan, tuning, yardstick))
            document = {
                "results": results,
                "summary": summary(results),
                "machine": machine,
                "command": shlex.join([Path(sys.executable).name, *sys.argv]),
                "seeds": list(plan.seeds),
                "trials": plan.trials,
                "rounds": plan.rounds,
                "wall_seconds": time.monotonic() - began,
                "time_unix": time.time(),
            }
            if a.json is not None:
                a.json.parent.mkdir(parents=True, exist_ok=True)
                a.json.write_text(json.dumps(document, indent=1))
    print(table(results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--suite",
        default="first",
        help=f"suites ({', '.join(SUITES)}) and operators, by commas; or problems, by semicolons",
    )
    parser.add_argument("--trials", type=int, default=64, help="trials of both tuners")
    parser.add_argument("--seeds", type=int, default=1, help="number of our runs; seeds 0, 1, ...")
    parser.add_argument("--against", default="metaschedule,torch,onnxruntime,openvino")
    parser.add_argument("--databases", type=Path, default=Path("out/databases"), help="kept and used again")
    parser.add_argument("--logs", type=Path, default=Path("out/logs"), help="our logs")
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--threads", type=int, help="of every side; every CPU when absent")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    parser.add_argument(
        "--reach", type=int, help="the baseline's trials whose best ours has to reach; --trials when absent"
    )
    parser.add_argument("--reuse", action="store_true", help="take our finished runs of --logs")
    parser.add_argument("--options", type=json.loads, default={}, help="further TuneOptions as JSON")
    return parser


if __name__ == "__main__":
    main()
