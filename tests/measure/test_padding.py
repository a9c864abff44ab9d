"""Products with padding: their condition moves out of loops that do not change it, and results are right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from search_space.tvm_api import parse_script, tvm
from tests.search_space.programs import arguments, context
from tuner.measure.build import compile_module
from tuner.measure.padding import skip_padding
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

HEADER = """@T.prim_func(s_tir=True)
def main(x: T.Buffer((64,), "float32"), w: T.Buffer((64,), "float32"), y: T.Buffer((8,), "float32")):
"""
GUARDED = "T.if_then_else({condition}, x[r * 8 + k], T.float32({otherwise}))"
BEFORE = """
    for r, k in T.grid(8, 8):
        y[0] = y[0] + {guarded} * w[k]
        y[1] = w[k + 8] * {guarded} + y[1]
"""
AFTER = """
    for r in range(8):
        if 1 <= r:
            for k in range(8):
                y[0] = y[0] + x[r * 8 + k] * w[k]
                y[1] = y[1] + w[k + 8] * x[r * 8 + k]
"""
INSIDE = """
    for r, k in T.grid(8, 8):
        if 1 <= k:
            y[0] = y[0] + x[r * 8 + k] * w[k]
            y[1] = y[1] + w[k + 8] * x[r * 8 + k]
"""


SEVERAL = """
    for r in range(7):
        for k in range(8):
            y[0] = y[0] + T.if_then_else(1 <= r, x[r * 8 + k], T.float32(0)) * w[k]
            y[1] = y[1] + x[r * 8 + k] * w[k]
            y[2] = y[2] + T.if_then_else(r < 6, x[r * 8 + k + 8], T.float32(0)) * w[k]
"""
BOTH_WAYS = """
    for r in range(7):
        if 1 <= r and r < 6:
            for k in range(8):
                y[0] = y[0] + x[r * 8 + k] * w[k]
                y[1] = y[1] + x[r * 8 + k] * w[k]
                y[2] = y[2] + x[r * 8 + k + 8] * w[k]
        else:
            for k in range(8):
                if 1 <= r:
                    y[0] = y[0] + x[r * 8 + k] * w[k]
                y[1] = y[1] + x[r * 8 + k] * w[k]
                if r < 6:
                    y[2] = y[2] + x[r * 8 + k + 8] * w[k]
"""


def skipped(text):
    return skip_padding(parse_script(HEADER + text))


@pytest.mark.parametrize(("condition", "after"), [("1 <= r", AFTER), ("1 <= k", INSIDE)])
def test_the_condition_of_an_operand_becomes_one_of_the_statement(condition, after):
    before = BEFORE.format(guarded=GUARDED.format(condition=condition, otherwise=0))
    tvm.ir.assert_structural_equal(skipped(before), parse_script(HEADER + after))


def test_several_conditions_are_asked_once_before_the_loop():
    tvm.ir.assert_structural_equal(skipped(SEVERAL), parse_script(HEADER + BOTH_WAYS))


@pytest.mark.parametrize(
    "text",
    [
        BEFORE.format(guarded=GUARDED.format(condition="1 <= r", otherwise=1)),
        "    for k in range(8):\n        y[0] = y[1] + T.if_then_else(1 <= k, x[k], T.float32(0)) * w[k]\n",
        "    for k in range(8):\n        y[k] = T.if_then_else(1 <= k, x[k], T.float32(0)) * w[k]\n",
        "    for k in range(8):\n        y[0] = T.max(y[0], T.if_then_else(1 <= k, x[k], 0.0) * w[k])\n",
    ],
)
def test_what_is_no_sum_with_zeros_stays(text):
    tvm.ir.assert_structural_equal(skipped(text), parse_script(HEADER + text))


def test_a_condition_on_what_the_loop_writes_stays_where_it_is():
    terms = ("x[k] * w[k]", "x[k + 8] * w[k]")
    before = "".join(
        f"        y[0] = y[0] + T.if_then_else(y[0] < T.float32(5), {x}, T.float32(0)) * {w}\n"
        for x, w in (term.split(" * ") for term in terms)
    )
    after = "".join(f"        if y[0] < T.float32(5):\n            y[0] = y[0] + {term}\n" for term in terms)
    loop = "    for k in range(8):\n"
    tvm.ir.assert_structural_equal(skipped(loop + before), parse_script(HEADER + loop + after))


def outputs(ctx, module, values):
    tensors = [tvm.runtime.tensor(v) for v in values]
    compile_module(module, ctx.target)["main"](*tensors)
    return [t.numpy() for t, a in zip(tensors, ctx.workload.args, strict=True) if a.is_output]


@given(
    spec=st.sampled_from(
        ["c2d:1,5,7,8,16,3,1,1", "dil:1,7,7,8,16,3,1,1", "t2d:1,4,4,8,16,4,2,1", "dep:1,6,6,16,3,1,1"]
    ),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=12, deadline=None)
def test_candidates_with_inlined_padding_compute_the_same(spec, seed):
    ctx = context(spec)
    sketch = next(s for name, s in ctx.sketches.items() if name.startswith("inline."))
    (row,) = sketch.sample(np.random.default_rng(seed), 1)
    values = arguments(ctx, seed)
    expected = outputs(ctx, materialize(ctx, {"kind": "default"}).module, values)
    found = outputs(ctx, materialize(ctx, sketch_plan(sketch, row)).module, values)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)


def test_taps_that_meet_nothing_but_padding_are_not_multiplied():
    """An image of one row: the first and the last row of taps are infinite, and nothing comes of it."""
    ctx = context_of(named_workload("c2d:1,1,6,8,16,3,1,1"), resolve_target(threads=2))
    sketch = ctx.sketches["inline.padded-tiled"]
    rows = sketch.sample(np.random.default_rng(0), 400)
    steps = next(s.name for s in sketch.space.slots if s.name.endswith(".tile.kh"))
    rows = rows[sketch.space.columns(rows).tile(steps)[:, 2] == 1][:3]  # the row of taps is a loop
    assert len(rows) == 3
    values = arguments(ctx)
    values[1][[0, 2]] = np.inf
    for row in rows:
        (found,) = outputs(ctx, materialize(ctx, sketch_plan(sketch, row)).module, values)
        assert np.isfinite(found).all()
