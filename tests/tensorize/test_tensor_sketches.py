"""Tensorised sketches: right for every value, in the assembly, masked as enumeration says, replayable."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from records.trace_check import check_trace
from search_space.candidate import DEFAULT_PLAN, Context, context_of, materialize, sketch_plan
from search_space.hardware import hardware_of
from search_space.rules.tensorize import TensorizeStep
from search_space.sketch import Sketch
from search_space.tvm_api import structural_equal, tvm
from tuner.measure.build import compile_module
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

ZEN4 = {"kind": "llvm", "mcpu": "znver4", "num-cores": 2}
INT8 = (
    "gmm:1,32,48,64,dtype=int8",
    "gmm:2,13,16,8,dtype=int8",
    "c2d:1,8,8,16,32,3,1,1,dtype=int8",
    "c1d:1,16,8,16,3,2,1,dtype=int8",
    "tbg:1,32,2,16,dtype=int8",
)
BF16 = (
    "gmm:1,32,48,64,dtype=bfloat16",
    "gmm:2,13,16,8,dtype=bfloat16",
    "c2d:1,8,8,16,32,3,1,1,dtype=bfloat16",
    "tbg:1,32,2,16,dtype=bfloat16",
)


def context(spec: str, target: dict[str, Any] = ZEN4) -> Context:
    return context_of(named_workload(spec), tvm.target.Target(target))


def tensorised(ctx: Context) -> dict[str, Sketch]:
    return {
        name: sketch
        for name, sketch in ctx.sketches.items()
        if any(isinstance(step, TensorizeStep) for step in sketch.steps)
    }


def inputs(ctx: Context, rng: np.random.Generator) -> list[np.ndarray]:
    """Integers over their whole range, with many smallest and largest ones; else values in [-1, 1)."""
    found = []
    for arg in ctx.workload.args:
        if arg.is_output:
            found.append(np.full(arg.shape, 77, arg.dtype))
        elif "int" in arg.dtype:
            limits = np.iinfo(arg.dtype)
            values = rng.integers(limits.min, limits.max + 1, arg.shape)
            kind = rng.integers(0, 3, arg.shape)
            found.append(np.choose(kind, [values, limits.min, limits.max]).astype(arg.dtype))
        else:
            found.append(rng.uniform(-1, 1, arg.shape).astype(ml_dtypes.bfloat16))
    return found


def output(ctx: Context, module: Any, arrays: list[np.ndarray]) -> tuple[np.ndarray, str]:
    """Compile for this machine, run, return result and assembly."""
    built = compile_module(module, ctx.target)
    tensors = [tvm.runtime.tensor(a) for a in arrays]
    built["main"](*tensors)
    return tensors[-1].numpy(), str(built.mod.inspect_source("asm"))


def can_run(*features: str) -> bool:
    target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
    return set(features) <= set(hardware_of(target).instruction_sets)


@pytest.mark.skipif(not can_run("avx512vnni"), reason="this CPU has no VNNI")
@pytest.mark.parametrize("spec", INT8)
def test_bytes_are_exact_over_their_whole_range(spec: str) -> None:
    ctx, rng = context(spec), np.random.default_rng(7)
    arrays = inputs(ctx, rng)
    wanted, _ = output(ctx, materialize(ctx, DEFAULT_PLAN).module, arrays)
    assert tensorised(ctx)
    for name, sketch in tensorised(ctx).items():
        for row in sketch.sample(rng, 3):
            found, assembly = output(ctx, materialize(ctx, sketch_plan(sketch, row)).module, arrays)
            assert np.array_equal(found, wanted), (name, row.tolist())
            assert "vpdpbusd" in assembly


@pytest.mark.skipif(not can_run("avx512bf16"), reason="this CPU has no bfloat16 dot products")
@pytest.mark.parametrize("spec", BF16)
def test_bfloat16_sums_in_float32(spec: str) -> None:
    ctx, rng = context(spec), np.random.default_rng(8)
    arrays = inputs(ctx, rng)
    wanted, _ = output(ctx, materialize(ctx, DEFAULT_PLAN).module, arrays)
    assert tensorised(ctx)
    for name, sketch in tensorised(ctx).items():
        for row in sketch.sample(rng, 3):
            found, assembly = output(ctx, materialize(ctx, sketch_plan(sketch, row)).module, arrays)
            assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max()), (name, row.tolist())
            assert "vdpbf16ps" in assembly


def test_accumulators_stay_in_registers() -> None:
    ctx = context("gmm:1,48,64,64,dtype=int8")
    sketch = ctx.sketches["tiled.vnni_u8s8"]
    rows = sketch.sample(np.random.default_rng(0), 400)
    columns = sketch.space.columns(rows)
    accumulators = columns.tile("batch_matmul.tile.i")[:, 3] * columns.tile("batch_matmul.tile.j")[:, 3]
    unblocked = columns.tile("batch_matmul.tile.k")[:, 0] == 1
    row = rows[np.argmax(accumulators * unblocked)]
    assert (accumulators * unblocked).max() >= 16
    built = compile_module(materialize(ctx, sketch_plan(sketch, row)).module, ctx.target)
    lines = str(built.mod.inspect_source("asm")).splitlines()
    places = [i for i, line in enumerate(lines) if "vpdpbusd" in line]
    inner = lines[places[0] : places[-1]]
    assert not [line for line in inner if "zmm" in line and "(%rsp)" in line and "vmov" in line]


@pytest.mark.parametrize("spec", (INT8[0], BF16[0]))
def test_masks_say_what_the_registers_hold(spec: str) -> None:
    (sketch,) = tensorised(context(spec)).values()
    rng = np.random.default_rng(3)
    rows = sketch.space.sample(rng, 4000)
    columns = sketch.space.columns(rows)
    tiles = {s.name: s.table for s in sketch.space.slots}
    for row, valid in zip(rows[:200], sketch.valid(rows[:200]), strict=True):
        values = {s.name: tiles[s.name][v] for s, v in zip(sketch.space.slots, row, strict=True)}
        high, wide = values["batch_matmul.tile.i"][3], values["batch_matmul.tile.j"][3]
        batch = values["batch_matmul.tile.b"][3]
        if batch * high * wide + wide + 1 > 32:
            assert not valid
    assert set(np.unique(columns.choice("batch_matmul.pack.right"))) <= {1, 2, 3}
    assert (columns.tile("batch_matmul.tile.j")[:, 4] == 16).all()


@pytest.mark.parametrize("spec", (INT8[2], BF16[2]))
def test_nests_count_one_instruction_for_a_group(spec: str) -> None:
    ctx = context(spec)
    group = 4 if "int8" in spec else 2
    sketch = ctx.sketches[next(n for n in tensorised(ctx) if n.startswith("tiled."))]
    nests = sketch.nests(sketch.sample(np.random.default_rng(1), 16))
    compute = next(stage for stage in nests.stages if stage.stage == "compute")
    steps = np.prod(compute.extents, axis=1)
    assert np.allclose(steps * group * 2, ctx.workload.flops, rtol=0.01)
    assert {a.element_bytes for a in compute.accesses} == {4}


@pytest.mark.parametrize("spec", (INT8[0], BF16[2]))
def test_a_trace_rebuilds_the_schedule_and_may_stand_in_a_record(spec: str) -> None:
    ctx, rng = context(spec), np.random.default_rng(2)
    sketches = tensorised(ctx)
    assert sketches
    for sketch in sketches.values():
        made = materialize(ctx, sketch_plan(sketch, sketch.sample(rng, 1)[0]))
        assert made.trace is not None
        check_trace(json.loads(made.trace))
        plan = {"kind": "trace", "base": made.base, "trace": json.loads(made.trace)}
        assert structural_equal(materialize(ctx, plan).module, made.module)


@pytest.mark.parametrize("cpu", ["skylake-avx512", "haswell"])
def test_a_cpu_without_the_instructions_gets_no_such_sketch(cpu: str) -> None:
    for spec in (INT8[0], BF16[0]):
        assert not tensorised(context(spec, {"kind": "llvm", "mcpu": cpu, "num-cores": 2}))


def test_a_feature_that_the_target_switches_off_is_not_used() -> None:
    assert not tensorised(context(INT8[0], {**ZEN4, "mattr": ["-avx512vnni"]}))


def test_float32_is_left_alone() -> None:
    assert not tensorised(context("gmm:1,32,48,64"))
