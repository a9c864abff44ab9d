"""The machine's own rate of fused multiply-adds, the yardstick of every ratio to the hardware.

``python -m scripts.bench.peak [--threads N] [--json]``: a kernel that TVM compiles, nothing but
multiply-adds on registers, with as many independent sums as pay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench.contestant import ROOT, environment

ACCUMULATORS = (8, 10, 12, 16, 20, 24)
"""Vectors of sums that are tried: latency times units of any CPU is below, its registers above."""
STEPS = 20_000
REPEATS = 15


def peak_flops(threads: int) -> float:
    """Measure in a process of its own; returns floating-point operations per second.

    Raises:
        subprocess.CalledProcessError: If the kernel does not compile or run.
    """
    answer = subprocess.run(
        [sys.executable, "-m", "scripts.bench.peak", "--threads", str(threads), "--json"],
        cwd=ROOT,
        env=environment(threads),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(answer.stdout)["flops_per_second"])


def kernel(threads: int, lanes: int, accumulators: int) -> Any:
    """Return a PrimFunc with ``threads * STEPS * accumulators * lanes`` multiply-adds.

    Args:
        threads: Parallel tasks.
        lanes: Elements of a vector.
        accumulators: Independent vectors of sums.
    """
    from search_space.tvm_api import Schedule, te

    width = lanes * accumulators
    factor = te.placeholder((threads, STEPS), name="factor")
    row = te.placeholder((threads, width), name="row")
    k = te.reduce_axis((0, STEPS), name="k")
    # The row does not change with k: it stays in the first cache level or in registers.
    total = te.compute(
        (threads, width), lambda t, v: te.sum(factor[t, k] * row[t, v % lanes], axis=k), name="total"
    )
    schedule = Schedule(te.create_prim_func([factor, row, total]).with_attr("global_symbol", "main"))
    block = schedule.get_sblock("total")
    thread, lane, step = schedule.get_loops(block)
    outer, inner = schedule.split(lane, [accumulators, lanes])
    schedule.reorder(thread, step, outer, inner)
    cached = schedule.cache_write(block, 0, "local")
    schedule.reverse_compute_at(cached, thread)
    schedule.vectorize(schedule.get_loops(cached)[-1])
    schedule.parallel(thread)
    schedule.unroll(outer)
    schedule.vectorize(inner)
    initial = schedule.decompose_reduction(block, step)
    schedule.vectorize(schedule.get_loops(initial)[-1])
    schedule.unroll(schedule.get_loops(initial)[-2])
    return schedule.mod


def measure(threads: int) -> dict[str, Any]:
    """Measure in this process: the best rate over all numbers of accumulators."""
    import numpy as np

    from search_space.hardware import Hardware, hardware_of, resolve_target
    from search_space.tvm_api import tvm

    target = resolve_target(None, threads)
    hardware = hardware_of(target)
    assert isinstance(hardware, Hardware)
    lanes = hardware.lanes(4)
    rates: dict[int, float] = {}
    for accumulators in ACCUMULATORS:
        executable = tvm.compile(kernel(threads, lanes, accumulators), target)
        shapes = ((threads, STEPS), (threads, lanes * accumulators), (threads, lanes * accumulators))
        tensors = [tvm.runtime.tensor(np.full(shape, 0.5, np.float32)) for shape in shapes]
        timer = executable.jit().time_evaluator("main", tvm.cpu(), number=20, repeat=REPEATS)
        seconds = min(float(s) for s in timer(*tensors).results)
        rates[accumulators] = 2.0 * threads * STEPS * accumulators * lanes / seconds
    return {
        "flops_per_second": max(rates.values()),
        "threads": threads,
        "vector_bytes": 4 * lanes,
        "by_accumulators": rates,
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["TVM_NUM_THREADS"] = str(arguments.threads)  # read when the first parallel kernel runs
    found = measure(arguments.threads)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['flops_per_second'] / 1e9:.1f} GFLOP/s with {found['threads']} threads")
    for accumulators, rate in found["by_accumulators"].items():
        print(f"  {accumulators:2d} accumulators: {rate / 1e9:.1f}")


if __name__ == "__main__":
    main()
