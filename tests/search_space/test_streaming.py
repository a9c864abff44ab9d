"""Non-temporal stores: offered for large results, in the machine code where chosen, and right."""

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
from search_space.tvm_api import IRModule, parse_script, te, tirx, tvm
from search_space.workload import workload_of
from tests.search_space.programs import arguments, run
from tuner.measure.build import compile_module
from tuner.workloads.rows import softmax

pytestmark = pytest.mark.tvm

TARGET = "llvm -mcpu=skylake-avx512"
SIDE = 384
CACHE = SIDE * SIDE * 4 * 2
"""A last-level cache that the tests' large results take half of."""


def largest_of_zero(shape):
    data = te.placeholder(shape, name="data")
    return te.create_prim_func([data, te.compute(shape, lambda *at: tirx.max(data[at], 0.0), name="relu")])


def rows_of(shape):
    data = te.placeholder(shape, name="data")
    return te.create_prim_func([data, softmax(data)])


def turned(shape):
    data = te.placeholder(shape, name="data")
    return te.create_prim_func([data, te.compute(shape[::-1], lambda i, j: data[j, i], name="turned")])


def product(shape):
    left, right = te.placeholder((shape[0], 16), name="left"), te.placeholder((16, shape[1]), name="right")
    k = te.reduce_axis((0, 16), name="k")
    return te.create_prim_func(
        [
            left,
            right,
            te.compute(shape, lambda i, j: te.sum(left[i, k] * right[k, j], axis=k), name="product"),
        ]
    )


def sketches(func, target=None):
    target = resolve_target(target, threads=2)
    hardware = replace(hardware_of(target), l3_bytes=CACHE)
    workload = workload_of(func, "rows")
    found = generate(func, "rows", workload.flops, hardware, CPU_RULES)
    return Context(workload, target, hardware, {s.name: s for s in found})


def slot_names(context):
    return {slot.name for sketch in context.sketches.values() for slot in sketch.space.slots}


def both(context):
    """Modules of a candidate with widest vectors, without and with the stores past the caches."""
    sketch = next(iter(context.sketches.values()))
    for stream in (0, 1):
        row = []
        for slot in sketch.space.slots:
            values = slot.table[:, 0].tolist()
            word = slot.name.rpartition(".")[2]
            row.append(values.index({"stream": stream, "tasks": 2, "rows": 1}.get(word, max(values))))
        row = np.array(row, dtype=np.int32)
        if not sketch.valid(row[None])[0]:  # a tile: any will do
            row = sketch.sample(np.random.default_rng(5), 1)[0]
            row[[slot.name.endswith(".stream") for slot in sketch.space.slots]] = stream
        yield materialize(context, sketch_plan(sketch, row))


@pytest.mark.parametrize(
    ("make", "name"),
    [(largest_of_zero, "relu"), (rows_of, "softmax"), (turned, "turned"), (product, "product")],
)
def test_only_large_results_are_streamed(make, name):
    assert f"{name}.stream" in slot_names(sketches(make((SIDE, SIDE))))
    assert f"{name}.stream" not in slot_names(sketches(make((SIDE // 2, SIDE))))


@pytest.mark.parametrize("make", [largest_of_zero, rows_of, product])
def test_stores_past_the_caches_end_with_a_fence(make):
    context = sketches(make((SIDE, SIDE)), TARGET)
    plain, streamed = (
        compile_module(made.module, context.target).mod.inspect_source("s") for made in both(context)
    )
    assert not re.search(r"\bvmovnt|\bmfence\b", plain)
    assert re.search(r"\bvmovntps\b", streamed)
    assert re.search(r"\bmfence\b|\block\b", streamed)
    assert not re.search(r"call\S*\s+\S*tirtune_stream", streamed)


@pytest.mark.parametrize("make", [largest_of_zero, rows_of, turned, product])
def test_streamed_results_are_the_same(make):
    context = sketches(make((SIDE, SIDE)))
    results = []
    for made in both(context):
        module = made.module
        check_trace(json.loads(made.trace or ""))  # a record of it can be applied
        tensors = [tvm.runtime.tensor(a) for a in arguments(context)]
        compile_module(module, context.target)["main"](*tensors)
        results.append(tensors[-1].numpy())
        results += run(context, module)  # TVM's own pipeline knows nothing of the mark
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


_COPY = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer((128,), "{dtype}"), C: T.Buffer((144,), "{dtype}")):
    for i in T.serial({steps}, annotations={{"pragma_tirtune_stream": 1}}):
        for j in T.vectorized({lanes}):
            C[i * {lanes} + j + {offset}] = A[i * {lanes} + j]
"""


def assembly(dtype="float32", lanes=16, offset=0):
    func = parse_script(_COPY.format(dtype=dtype, lanes=lanes, steps=128 // lanes, offset=offset))
    module = IRModule({"main": func.with_attr("global_symbol", "main")})
    return compile_module(module, resolve_target(TARGET, 1)).mod.inspect_source("s")


@pytest.mark.parametrize(
    ("dtype", "lanes"), [("float32", 16), ("float32", 8), ("float32", 4), ("float64", 8), ("int32", 16)]
)
def test_aligned_vectors_are_streamed(dtype, lanes):
    assert "vmovnt" in assembly(dtype, lanes)


@pytest.mark.parametrize(
    ("dtype", "lanes", "offset"), [("float32", 16, 8), ("float32", 2, 0), ("int8", 16, 0)]
)
def test_other_vectors_are_stored_as_usual(dtype, lanes, offset):
    text = assembly(dtype, lanes, offset)
    assert "vmovnt" not in text and "fence" not in text
