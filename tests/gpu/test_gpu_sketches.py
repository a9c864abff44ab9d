"""GPU sketches: what is sampled computes what the program computes, and its numbers describe it."""

import json

import numpy as np
import pytest

from cost_models.describe import describe
from search_space.candidate import DEFAULT_PLAN, materialize, sketch_plan, untuned_module
from search_space.gpu.tensor.step import TensorStep
from search_space.tvm_api import IRModule, structural_equal
from tests.gpu.programs import (
    OWN_PROGRAMS,
    SLOW_SPECS,
    SPECS,
    TENSOR_SPECS,
    gpu_context,
    outputs_of,
    serial,
    wide_products,
)

pytestmark = pytest.mark.tvm


@pytest.mark.parametrize("spec", [*SPECS, *(pytest.param(s, marks=pytest.mark.slow) for s in SLOW_SPECS)])
def test_sampled_candidates_compute_the_same(spec: str) -> None:
    ctx = gpu_context(spec)
    wanted = outputs_of(ctx, IRModule({"main": ctx.workload.func.with_attr("global_symbol", "main")}))
    rng = np.random.default_rng(5)
    for name, sketch in ctx.sketches.items():
        for row in sketch.sample(rng, 1):
            found = outputs_of(ctx, serial(materialize(ctx, sketch_plan(sketch, row)).module))
            for left, right in zip(found, wanted, strict=True):
                scale = max(1.0, float(np.abs(right).max()))
                error = np.abs(left - right).max()
                assert error <= 2e-5 * scale * sketch.tolerance_scale, (name, row.tolist())


@pytest.mark.parametrize(
    "spec", [*TENSOR_SPECS, *OWN_PROGRAMS, "gmm:1,32,48,56", "gmm:1,16,16,512,dtype=float16"]
)
def test_products_on_tensor_cores_compute_the_same(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What an intrinsic replaces computes the same as the intrinsic: the CPU runs it in its place.
    monkeypatch.setattr(TensorStep, "_replace", staticmethod(lambda sch, loop, intrinsic, permuted: None))
    ctx = gpu_context(spec, "sm_80", "-libs=tf32")
    wanted = outputs_of(ctx, IRModule({"main": ctx.workload.func.with_attr("global_symbol", "main")}))
    sketches = [sketch for sketch in ctx.sketches.values() if wide_products(sketch)]
    assert sketches
    for sketch in sketches:
        for row in sketch.sample(np.random.default_rng(7), 3):
            found = outputs_of(ctx, serial(materialize(ctx, sketch_plan(sketch, row)).module))
            assert np.allclose(found[0], wanted[0], rtol=1e-3, atol=1e-3), (sketch.name, row.tolist())


def test_tensor_cores_are_offered_only_where_types_and_chips_have_them() -> None:
    def offered(spec: str, arch: str) -> bool:
        return any(wide_products(s) for s in gpu_context(spec, arch).sketches.values())

    assert offered(TENSOR_SPECS[0], "sm_70")
    assert not offered("gmm:1,32,48,64", "sm_90")  # float32 stays exact, unless TF32 is asked for
    assert any(map(wide_products, gpu_context("gmm:1,32,48,64", "sm_90", "-libs=tf32").sketches.values()))
    assert not any(map(wide_products, gpu_context("gmm:1,32,48,64", "sm_75", "-libs=tf32").sketches.values()))


def test_both_kinds_of_fragments_are_offered_from_sm_80_on() -> None:
    assert {"mma", "wmma"} <= set(gpu_context(TENSOR_SPECS[0], "sm_80").sketches)
    assert "mma" not in gpu_context(TENSOR_SPECS[0], "sm_75").sketches


def test_long_sums_of_small_results_are_parted_among_blocks() -> None:
    parted = gpu_context("gmm:1,16,16,512,dtype=float16").sketches
    assert {"split2-mma", "split4-mma"} <= set(parted)
    nests = parted["split4-mma"].nests(parted["split4-mma"].sample(np.random.default_rng(0), 8))
    launches = [stage.launch for stage in nests.stages if stage.launch is not None]
    products = next(launch for launch in launches if launch.tensor_share.all())
    assert (products.blocks % 4 == 0).all(), "every part has blocks of its own"


def test_tf32_may_round_more_than_float32() -> None:
    sketches = gpu_context("gmm:1,32,48,64", "sm_90", "-libs=tf32").sketches
    assert sketches["mma"].tolerance_scale == 2.0**13
    assert sketches["tiled"].tolerance_scale == 1.0


@pytest.mark.parametrize("spec", ["gmm:1,32,48,64", "c2d:1,6,6,8,16,3,1,1", "sfm:16,48"])
def test_the_untuned_program_runs_in_threads(spec: str) -> None:
    ctx = gpu_context(spec)
    module = materialize(ctx, DEFAULT_PLAN).module
    assert structural_equal(module, untuned_module(ctx.workload.func, "cuda"))
    assert 'thread="blockIdx.x"' in module.script()
    plain = IRModule({"main": ctx.workload.func.with_attr("global_symbol", "main")})
    for left, right in zip(outputs_of(ctx, serial(module)), outputs_of(ctx, plain), strict=True):
        assert np.allclose(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", [*SPECS, *TENSOR_SPECS])
def test_nests_describe_the_work_of_every_row_alone(spec: str) -> None:
    ctx = gpu_context(spec)
    rng = np.random.default_rng(1)
    for name, sketch in ctx.sketches.items():
        rows = sketch.sample(rng, 16)
        assert len(rows), name
        nests = sketch.nests(rows)
        assert nests.stages[0].launch is not None
        done = np.zeros(len(rows))
        for stage in nests.stages:
            assert stage.binding is not None
            assert stage.extents.shape == (len(rows), len(stage.binding)), (name, stage.stage)
            assert (stage.extents >= 1 - 1e-9).all(), (name, stage.stage)
            done += stage.flops * np.prod(stage.extents, axis=1) * stage.executions
        if not sketch.rewritten:
            assert (done >= 0.4 * ctx.workload.flops).all(), name
        features, draft = describe(nests, ctx.hardware)
        assert np.isfinite(features).all(), name
        assert (draft > 0).all(), name
        alone, own = describe(sketch.nests(rows[:1]), ctx.hardware)
        assert np.allclose(alone[0], features[0], rtol=1e-5)
        assert np.isclose(own[0], draft[0])


@pytest.mark.parametrize("spec", ["gmm:1,32,48,64", "cbr:1,8,8,8,16,3,1,1", "sfm:16,48", TENSOR_SPECS[0]])
def test_a_trace_rebuilds_the_schedule(spec: str) -> None:
    ctx = gpu_context(spec)
    rng = np.random.default_rng(3)
    for sketch in ctx.sketches.values():
        made = materialize(ctx, sketch_plan(sketch, sketch.sample(rng, 1)[0]))
        assert made.trace is not None
        plan = {"kind": "trace", "base": made.base, "trace": json.loads(made.trace)}
        assert structural_equal(materialize(ctx, plan).module, made.module)
