"""How fast this CPU multiplies and adds: the rate that no kernel can beat."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from search_space.hardware import cpu_hardware
from search_space.tvm_api import IRModule, tvm

_ACCUMULATORS = 12
"""Independent sums per thread: more than latency times issue rate of today's cores (4 cycles times 2)."""
_STEPS = 20_000
_BLOCK_SECONDS = 0.4

_SOURCE = """
@T.prim_func
def main(x: T.Buffer(({lanes},), "float32"), out: T.Buffer(({threads} * {width},), "float32")):
    T.func_attr({{"tirx.noalias": True}})
    for p in T.parallel({threads}):
        sums = T.alloc_buffer(({width},), "float32", scope="local")
        for a in T.unroll({accumulators}):
            for v in T.vectorized({lanes}):
                sums[a * {lanes} + v] = x[v]
        for i in range({steps}):
            for a in T.unroll({accumulators}):
                for v in T.vectorized({lanes}):
                    sums[a * {lanes} + v] = sums[a * {lanes} + v] * x[v] + x[v]
        for a in T.unroll({accumulators}):
            for v in T.vectorized({lanes}):
                out[p * {width} + a * {lanes} + v] = sums[a * {lanes} + v]
"""


def peak_gflops(target: Any) -> float:
    """Measure the float32 multiply-add rate of all threads of a target.

    Must run before anything else in this process uses the thread pool, because its size is fixed then.

    Args:
        target: A resolved CPU target of this machine; its ``num-cores`` is the thread count.

    Returns:
        GFLOP/s: the best of repeated runs within some 0.4 s.
    """
    from tvm.script import tirx as script

    hardware = cpu_hardware(target)
    lanes, threads = hardware.lanes(4), hardware.cores
    width = _ACCUMULATORS * lanes
    source = _SOURCE.format(
        lanes=lanes, threads=threads, width=width, accumulators=_ACCUMULATORS, steps=_STEPS
    )
    function = tvm.script.from_source(source, {"T": script})
    os.environ["TVM_NUM_THREADS"] = str(threads)
    kernel = tvm.compile(IRModule({"main": function}), target)["main"]
    # A fixed point near one keeps the numbers normal: denormal ones would be slow.
    arguments = [
        tvm.runtime.tensor(np.full(lanes, 0.5, np.float32)),
        tvm.runtime.tensor(np.zeros(threads * width, np.float32)),
    ]
    fastest, end = float("inf"), time.perf_counter() + _BLOCK_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        kernel(*arguments)
        fastest = min(fastest, time.perf_counter() - start)
    return 2.0 * threads * width * _STEPS / fastest / 1e9
