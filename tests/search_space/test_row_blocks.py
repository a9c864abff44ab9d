"""Blocks as they come from networks: odd rows, joined channels, padding. Every plan computes the same."""

import re

import numpy as np
import pytest

from search_space.candidate import DEFAULT_PLAN, context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from search_space.tvm_api import te, tirx, tvm, tvm_ffi
from search_space.workload import workload_of
from tests.search_space.programs import run
from tuner.workloads.rows import layer_norm, softmax

pytestmark = pytest.mark.tvm

topi = tvm.topi


def joined():
    left, right = te.placeholder((3, 5, 20), name="left"), te.placeholder((3, 5, 13), name="right")
    return te.create_prim_func([left, right, topi.concatenate([left, right], 2)])


def padded():
    data = te.placeholder((5, 6, 7), name="data")
    return te.create_prim_func([data, topi.nn.pad(data, [0, 1, 1], [0, 2, 1])])


def odd_layer_norm():
    data, scale, shift = (te.placeholder(s, name=n) for s, n in (((13, 37), "x"), ((37,), "g"), ((37,), "b")))
    return te.create_prim_func([data, scale, shift, layer_norm(data, scale, shift, [1], 1e-5)])


def attention_rows(length):
    data = te.placeholder((2, 3, length), name="data")
    return te.create_prim_func([data, softmax(data)])


def long_layer_norm_of_a_sum():
    shape = (3, 2, 8192)
    left, right = te.placeholder(shape, name="left"), te.placeholder(shape, name="right")
    scale, shift = te.placeholder(shape[2:], name="scale"), te.placeholder(shape[2:], name="shift")
    return te.create_prim_func(
        [left, right, scale, shift, layer_norm(topi.add(left, right), scale, shift, [2], 1e-5)]
    )


CASES = {
    "joined": joined,
    "padded": padded,
    "layer norm": odd_layer_norm,
    "softmax 7": lambda: attention_rows(7),
    "softmax 197": lambda: attention_rows(197),
    "softmax 208": lambda: attention_rows(208),
    "softmax 9216": lambda: attention_rows(9216),
    "long layer norm": long_layer_norm_of_a_sum,
}


@pytest.mark.parametrize("name", CASES)
def test_plans_compute_the_same(name):
    context = context_of(workload_of(CASES[name](), name), resolve_target(threads=2))
    wanted = run(context, materialize(context, DEFAULT_PLAN).module)
    for sketch in context.sketches.values():
        for row in sketch.sample(np.random.default_rng(4), 2):
            module = materialize(context, sketch_plan(sketch, row)).module
            for got, right in zip(run(context, module), wanted, strict=True):
                np.testing.assert_allclose(got, right, rtol=2e-5, atol=2e-6, err_msg=sketch.name)


def test_a_condition_along_a_loop_splits_it():
    context = context_of(workload_of(joined(), "joined"), resolve_target(threads=2))
    (sketch,) = context.sketches.values()
    row = np.zeros(len(sketch.space.slots), dtype=np.int32)
    row[1] = next(i for i, v in enumerate(sketch.space.slots[1].table[:, 0]) if v == 1)
    text = materialize(context, sketch_plan(sketch, row)).module.script()
    assert "pragma_loop_partition_hint" in text


@pytest.mark.parametrize(
    ("name", "sketch", "passes"),
    [
        ("softmax 9216", "online1024-rows", {"largest_piece", "powers", "total_piece"}),
        ("long layer norm", "moments1024-rows", {"row_sum_piece", "square_sum_piece"}),
    ],
)
def test_the_passes_of_a_piece_run_together(name, sketch, passes):
    context = context_of(workload_of(CASES[name](), name), resolve_target(threads=2))
    row = context.sketches[sketch].sample(np.random.default_rng(1), 1)[0]
    module = materialize(context, sketch_plan(context.sketches[sketch], row)).module
    pieces = []

    def visit(loop):
        inside = blocks_below(loop)
        if passes <= inside and not any(len(inner) < len(inside) and passes <= inner for inner in pieces):
            pieces.append(inside)

    tvm_ffi.structural_walk(module["main"].body, [(tirx.For, visit)])
    innermost = min(pieces, key=len)
    assert {n for n in innermost if not re.search(r"_rf|_init|_update", n)} == passes


def blocks_below(statement):
    found = set()
    tvm_ffi.structural_walk(statement, [(tvm.s_tir.SBlock, lambda b: found.add(str(b.name_hint)))])
    return found
