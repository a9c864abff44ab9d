"""The machine's own rate of fused multiply-adds, the yardstick of every ratio to the hardware.

The host of a virtual machine is slower in some minutes than in others, so that in comparisons the yardstick
takes turns with the kernels (:class:`Yardstick`), and a kernel's share of the peak is that of its own minute.

``python -m scripts.bench.peak [--threads N] [--json]``: a kernel that TVM compiles, nothing but
multiply-adds on registers, with as many independent sums as pay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench.contestant import ROOT, Contestant, environment
from tuner.closing import Closing

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


class Yardstick(Closing):
    """The multiply-adds in a process of their own, ready to take turns with kernels.

    Args:
        threads: Threads that multiply and add.

    Raises:
        SideFailed: If the kernel does not compile or run.
    """

    def __init__(self, threads: int) -> None:
        self.contestant = Contestant("tirtune", threads, "peak")
        self.flops_per_call = float(self.contestant.ask({"do": "peak", "threads": threads})["flops"])

    def close(self) -> None:
        """End the process."""
        self.contestant.close()


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


@dataclass(frozen=True, slots=True)
class Loaded:
    """A kernel of multiply-adds in this process.

    Attributes:
        accumulators: Independent vectors of sums.
        flops: Floating-point operations of a call.
        flops_per_second: The best rate that was seen.
        call: Runs it once.
    """

    accumulators: int
    flops: float
    flops_per_second: float
    call: Callable[[], Any]


def vector_lanes(threads: int) -> int:
    """Return the float32 elements of a vector of this CPU."""
    from search_space.hardware import Hardware, hardware_of, resolve_target

    hardware = hardware_of(resolve_target(None, threads))
    assert isinstance(hardware, Hardware)
    return hardware.lanes(4)


def load(threads: int) -> list[Loaded]:
    """Compile the multiply-adds in this process, for every number of accumulators, and time them."""
    import numpy as np

    from search_space.hardware import resolve_target
    from search_space.tvm_api import tvm

    lanes = vector_lanes(threads)
    found = []
    for accumulators in ACCUMULATORS:
        module = tvm.compile(kernel(threads, lanes, accumulators), resolve_target(None, threads)).jit()
        shapes = ((threads, STEPS), (threads, lanes * accumulators), (threads, lanes * accumulators))
        tensors = [tvm.runtime.tensor(np.full(shape, 0.5, np.float32)) for shape in shapes]
        timer = module.time_evaluator("main", tvm.cpu(), number=20, repeat=REPEATS)
        seconds = min(float(s) for s in timer(*tensors).results)
        flops = 2.0 * threads * STEPS * accumulators * lanes
        found.append(Loaded(accumulators, flops, flops / seconds, partial(module["main"], *tensors)))
    return found


def measure(threads: int) -> dict[str, Any]:
    """Measure in this process: the best rate over all numbers of accumulators."""
    rates = {each.accumulators: each.flops_per_second for each in load(threads)}
    return {
        "flops_per_second": max(rates.values()),
        "threads": threads,
        "vector_bytes": 4 * vector_lanes(threads),
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
