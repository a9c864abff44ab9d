"""Every sketch of every operator: what it samples builds, and computes what the program computes."""

import json

import numpy as np
import pytest

from search_space.candidate import DEFAULT_PLAN, materialize, prepare, sketch_plan
from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import structural_equal, structural_key
from tests.search_space.programs import SPECS, context, outputs_of, run
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


@pytest.mark.parametrize("spec", SPECS)
def test_sampled_candidates_compute_the_same(spec: str) -> None:
    ctx = context(spec)
    wanted = run(ctx, materialize(ctx, DEFAULT_PLAN).module)
    rng = np.random.default_rng(5)
    for name, sketch in ctx.sketches.items():
        for row in sketch.sample(rng, 2):
            found = outputs_of(ctx, name, row)
            for left, right in zip(found, wanted, strict=True):
                scale = max(1.0, float(np.abs(right).max()))
                assert np.abs(left - right).max() <= 2e-5 * scale * sketch.tolerance_scale, (
                    name,
                    row.tolist(),
                )


@pytest.mark.parametrize("spec", SPECS)
def test_nests_agree_in_size_and_do_the_work(spec: str) -> None:
    ctx = context(spec)
    rng = np.random.default_rng(1)
    for name, sketch in ctx.sketches.items():
        rows = sketch.sample(rng, 32)
        nests = sketch.nests(rows)
        assert nests.size == len(rows) > 0, name
        done = np.zeros(len(rows))
        for stage in nests.stages:
            assert stage.extents.shape[0] == len(rows)
            assert (stage.extents >= 1 - 1e-9).all(), (name, stage.stage)
            for access in stage.accesses:
                assert access.coefficients.shape[-1] == stage.extents.shape[1]
            done += stage.flops * np.prod(stage.extents, axis=1) * stage.executions
        if ctx.workload.flops > 1 and not sketch.rewritten:
            assert (done >= 0.4 * ctx.workload.flops).all(), name


@pytest.mark.parametrize("spec", ["gmm:1,32,48,64", "c2d:1,14,14,16,32,3,1,1", "sfm:16,48"])
def test_nests_of_a_batch_are_those_of_its_rows(spec: str) -> None:
    ctx = context(spec)
    rng = np.random.default_rng(2)
    for sketch in ctx.sketches.values():
        rows = sketch.sample(rng, 8)
        whole = sketch.nests(rows)
        for i, row in enumerate(rows):
            alone = sketch.nests(row[None])
            for left, right in zip(whole.stages, alone.stages, strict=True):
                assert np.allclose(left.extents[i], right.extents[0])
                assert np.allclose(left.executions[i], right.executions[0])


@pytest.mark.parametrize("spec", ["gmm:1,32,48,64", "cbr:1,8,8,8,16,3,1,1", "gmm:2,13,17,29"])
def test_a_trace_rebuilds_the_schedule(spec: str) -> None:
    ctx = context(spec)
    rng = np.random.default_rng(3)
    for sketch in ctx.sketches.values():
        made = materialize(ctx, sketch_plan(sketch, sketch.sample(rng, 1)[0]))
        assert made.trace is not None
        plan = {"kind": "trace", "base": made.base, "trace": json.loads(made.trace)}
        assert structural_equal(materialize(ctx, plan).module, made.module)


def test_the_same_program_gives_the_same_sketches() -> None:
    workload = named_workload("c2d:1,14,14,16,32,3,1,1")
    target = target_text(resolve_target())
    one, two = (prepare(workload.program(), target) for _ in range(2))
    assert list(one.sketches) == list(two.sketches)
    for name in one.sketches:
        assert [s.name for s in one.sketches[name].space.slots] == [
            s.name for s in two.sketches[name].space.slots
        ]
    assert one.workload.key == workload.key


def test_scheduling_leaves_the_workload_alone() -> None:
    ctx = context("c2d:1,14,14,16,32,3,1,1")
    key = ctx.workload.key
    rng = np.random.default_rng(4)
    for sketch in ctx.sketches.values():
        for row in sketch.sample(rng, 2):
            materialize(ctx, sketch_plan(sketch, row))
    assert structural_key(ctx.workload.func) == key


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"kind": "magic"}, "unknown"),
        ({"kind": "sketch", "sketch": "nope", "row": []}, "no sketch is named"),
        ({"kind": "sketch", "sketch": "tiled", "row": [0]}, "shape"),
        ({"kind": "sketch", "sketch": "tiled", "row": [10**6] * 7}, "outside its table"),
    ],
)
def test_bad_plans_are_refused(plan: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        materialize(context("gmm:1,32,48,64"), plan)


def test_operands_of_overlapping_tiles_and_of_phases_can_be_packed() -> None:
    for spec, name, operand in (
        ("gmm:1,127,509,121", "overlap-i.2x64-j.2x256-fused", "batch_matmul.pack.right"),
        ("t2d:1,4,4,16,16,4,2,1", "tiled", "phases.pack.weight"),
    ):
        sketch = context(spec).sketches[name]
        assert operand in [s.name for s in sketch.space.slots]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("t2d:1,4,16,6,3,4,2,1", True),
        ("c2d:1,8,16,6,7,3,1,1", True),
        ("c2d:1,8,16,6,8,3,1,1", False),  # half a vector of channels
        ("c2d:1,8,33,6,3,3,2,1", False),  # rows two elements apart
        ("c2d:1,8,17,6,3,3,1,1", False),  # rows that are no multiple of a vector
    ],
)
def test_vectors_run_along_the_rows_of_few_channels(spec: str, expected: bool) -> None:
    assert any(name.endswith(".rows") for name in context(spec).sketches) == expected


def test_what_vectors_run_across_is_not_computed_on_the_fly() -> None:
    names = list(context("c2d:1,8,8,6,12,3,1,1").sketches)
    assert "pad-i2.16-inline.padded-tiled" in names  # conditions on rows cut no vector
    assert not any("inline.weight_pad" in name for name in names)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("tbg:2,16,16,64", True),  # rows 4096 bytes apart
        ("tbg:1,16,12,128", True),  # 6144: every other row
        ("tbg:1,16,12,64", False),  # 3072: every fourth
        ("tbg:1,16,1,1024", False),  # side by side they are as far apart
        ("gmm:1,16,32,1024", False),  # lanes are neighbours, nothing is gathered
    ],
)
def test_lanes_are_gathered_from_rows_that_do_not_displace_each_other(spec: str, expected: bool) -> None:
    ctx = context(spec)
    sketch = ctx.sketches["tiled"]
    operand = next(s.name for s in sketch.space.slots if s.name.endswith((".pack.value", ".pack.right")))
    rows = sketch.sample(np.random.default_rng(0), 300)
    where = sketch.space.columns(rows).choice(operand)
    wanted = run(ctx, materialize(ctx, DEFAULT_PLAN).module)
    for place in (1, 2, 3):
        row = rows[where == place][0]
        text = materialize(ctx, sketch_plan(sketch, row)).module.script()
        assert ("_global_global" in text) == expected
        for got, right in zip(outputs_of(ctx, "tiled", row), wanted, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5)


def test_windows_are_not_packed_where_that_would_repeat_them() -> None:
    sketch = context("c2d:1,14,14,16,32,3,1,1").sketches["tiled"]
    assert [s.name for s in sketch.space.slots if ".pack." in s.name] == ["conv2d.pack.weight"]


def test_register_tiles_fit_the_register_file() -> None:
    ctx = context("gmm:1,32,48,64")
    sketch = ctx.sketches["tiled"]
    rows = sketch.sample(np.random.default_rng(0), 500)
    columns = sketch.space.columns(rows)
    rows_tile = columns.tile("batch_matmul.tile.i")[:, 3]
    vectors = columns.tile("batch_matmul.tile.j")[:, 3]
    assert (rows_tile * vectors + vectors <= ctx.hardware.vector_registers).all()
