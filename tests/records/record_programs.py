"""A small matmul, its schedules and their records, for the tests that need the compiler."""

import json

import numpy as np
import record_samples as samples

from records.building import lines_of, program_line, workload_info
from records.interop.foreign import ForeignMeasurement, timing_of_runs
from search_space.candidate import trace_text
from search_space.hardware import target_text
from search_space.tvm_api import IRModule, Schedule, te, tvm

N = 32


def matmul():
    a = te.placeholder((N, N), name="A")
    b = te.placeholder((N, N), name="B")
    k = te.reduce_axis((0, N), name="k")
    c = te.compute((N, N), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return te.create_prim_func([a, b, c])


def tiled(func, factor):
    module = IRModule(
        {"main": func.with_attr("global_symbol", "main")}
    )  # held: TVM schedules a lone module in place
    schedule = Schedule(module)
    block = schedule.get_sblock("C")
    i, j, k = schedule.get_loops(block)
    outer, inner = schedule.split(i, schedule.sample_perfect_tile(i, 2, decision=[N // factor, factor]))
    schedule.reorder(outer, k, inner, j)
    schedule.vectorize(j)
    schedule.annotate(block, "meta_schedule.tiling_structure", "SRS")
    return schedule


def check_numbers(module, target):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((N, N), dtype=np.float32) for _ in range(2))
    c = tvm.runtime.tensor(np.full((N, N), np.nan, dtype=np.float32))
    tvm.compile(module, target)["main"](tvm.runtime.tensor(a), tvm.runtime.tensor(b), c)
    np.testing.assert_allclose(c.numpy(), a @ b, rtol=1e-4, atol=1e-4)


def record_lines(workload, target, factor, seconds, **changes):
    schedule = tiled(workload.func, factor)
    plan = {"kind": "trace", "base": None, "trace": json.loads(trace_text(schedule.trace))}
    info = workload_info(workload.key, workload.name, workload.args, workload.flops)
    fields = {"kind": "trial", "session": "s", "environment": samples.HERE, "time_unix": 1.0}
    measured = ForeignMeasurement(plan, timing_of_runs([seconds, seconds, seconds]), None)
    return [
        program_line(info, workload.program()),
        *lines_of(measured, workload=info, target=target_text(target), **(fields | changes)),
    ]
