"""Prefetching of rows: offered for large ones, in the machine code where chosen, and right."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from records.trace_check import check_trace
from search_space.candidate import Context, materialize, sketch_plan
from search_space.cpu import CPU_RULES
from search_space.generate import generate
from search_space.hardware import hardware_of, resolve_target
from search_space.tvm_api import tvm
from search_space.workload import workload_of
from tests.search_space.programs import arguments, run
from tuner.measure.build import compile_module
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

TARGET = "llvm -mcpu=skylake-avx512"
ROWS, LENGTH = 96, 256
L2_BYTES = ROWS * LENGTH * 4
"""A second cache level that one of the two buffers fills, for each of two cores: both together do not fit."""


def sketches(spec, target=None, l2_bytes=L2_BYTES // 2, l3_bytes=1 << 30):
    target = resolve_target(target, threads=2)
    hardware = replace(hardware_of(target), l2_bytes=l2_bytes, l3_bytes=l3_bytes)
    workload = workload_of(named_workload(spec).func, "rows")
    found = generate(workload.func, "rows", workload.flops, hardware, CPU_RULES)
    return Context(workload, target, hardware, {s.name: s for s in found})


def offers(spec, **limits):
    slots = {s.name: s for sketch in sketches(spec, **limits).sketches.values() for s in sketch.space.slots}
    return [s.table[:, 0].tolist() for name, s in slots.items() if name.endswith(".prefetch")]


def made(context, prefetch, rows):
    sketch = context.sketches["rows"]
    wanted = {"prefetch": prefetch, "tasks": 2, "rows": rows, "lanes": 64}
    row = [s.table[:, 0].tolist().index(wanted[s.name.rpartition(".")[2]]) for s in sketch.space.slots]
    return materialize(context, sketch_plan(sketch, np.array(row, dtype=np.int32)))


def test_rows_that_stay_in_the_second_level_are_not_prefetched():
    assert offers(f"sfm:{ROWS},{LENGTH}") == [[0, 1, 2]]
    assert offers(f"sfm:{ROWS},{LENGTH}", l2_bytes=L2_BYTES) == []
    assert offers(f"sfm:{ROWS},{LENGTH - 3}") == []  # no whole vectors


def test_results_past_the_caches_are_not_fetched():
    context = sketches(f"sfm:{ROWS},{LENGTH}", l3_bytes=L2_BYTES)
    sketch = context.sketches["rows"]
    population = sketch.sample(np.random.default_rng(0), 256)
    columns = {s.name.rpartition(".")[2]: population[:, i] for i, s in enumerate(sketch.space.slots)}
    assert sketch.valid(population).all()
    assert not ((columns["stream"] == 1) & (columns["prefetch"] == 2)).any()
    assert ((columns["stream"] == 0) & (columns["prefetch"] == 2)).any()


@pytest.mark.parametrize("rows", [1, 2])
def test_the_chosen_lines_are_fetched(rows):
    context = sketches(f"sfm:{ROWS},{LENGTH}", TARGET)
    text = [
        compile_module(made(context, p, rows).module, context.target).mod.inspect_source("s")
        for p in range(3)
    ]
    reads = [len(re.findall(r"\bprefetcht0\b", t)) for t in text]
    writes = [len(re.findall(r"\bprefetchw\b", t)) for t in text]
    assert reads[0] == writes[0] == writes[1] == 0
    assert reads[1] > 0
    assert reads[1] == reads[2] == writes[2]
    assert not any(re.search(r"call\S*\s+\S*tirtune_prefetch", t) for t in text)


@pytest.mark.parametrize("rows", [1, 4])
def test_results_are_the_same(rows):
    context = sketches(f"sfm:{ROWS},{LENGTH}")
    results = []
    for prefetch in range(3):
        candidate = made(context, prefetch, rows)
        check_trace(json.loads(candidate.trace or ""))  # a record of it can be applied
        tensors = [tvm.runtime.tensor(a) for a in arguments(context)]
        compile_module(candidate.module, context.target)["main"](*tensors)
        results.append(tensors[-1].numpy())
        results += run(context, candidate.module)  # TVM's own pipeline knows nothing of the marks
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_the_distance_is_that_of_the_rows_that_take_turns():
    context = sketches(f"sfm:{ROWS},{LENGTH}")
    for rows in (1, 4):
        script = made(context, 2, rows).module.script()
        assert f'"pragma_tirtune_prefetch": {rows * LENGTH}' in script
        assert '"pragma_tirtune_prefetch_result": 1' in script
