"""Signs that the instruction does not multiply and extents that it does not divide."""

import numpy as np
import pytest

from search_space.candidate import DEFAULT_PLAN, context_of, materialize, sketch_plan
from search_space.hardware import hardware_of
from search_space.rewrites.program import lift
from search_space.tensorize.fitting import fitted
from search_space.tvm_api import te, tvm
from search_space.workload import workload_of
from tests.tensorize.test_tensor_sketches import ZEN4, can_run, context, inputs, output, tensorised
from tuner.workloads import named_workload
from tuner.workloads.convolution import convolution
from tuner.workloads.products import matmul

pytestmark = pytest.mark.tvm


def product(rows: int, columns: int, inner: int, left: str, right: str, bias: bool = False):
    a = te.placeholder((rows, inner), name="a", dtype=left)
    b = te.placeholder((inner, columns), name="b", dtype=right)
    out = matmul(a, b, "int32")
    if not bias:
        return te.create_prim_func([a, b, out])
    c = te.placeholder((columns,), name="c", dtype="int32")
    return te.create_prim_func([a, b, c, te.compute(out.shape, lambda i, j: out[i, j] + c[j], name="sum")])


def signed_convolution():
    data = te.placeholder((1, 9, 9, 3), name="data", dtype="int8")
    weight = te.placeholder((3, 3, 3, 20), name="weight", dtype="int8")
    out = convolution(data, weight, [2, 2], [1, 1], [1, 1], [1, 1], 1, "int32")
    return te.create_prim_func([data, weight, out])


CASES = {
    "signed": lambda: product(13, 30, 27, "int8", "int8"),
    "unsigned": lambda: product(16, 32, 24, "uint8", "uint8"),
    "mixed": lambda: product(16, 33, 24, "int8", "uint8"),
    "bias": lambda: product(16, 40, 24, "int8", "int8", bias=True),
    "convolution": signed_convolution,
    "odd": lambda: named_workload("gmm:1,7,17,13,dtype=int8").func,
}


@pytest.mark.skipif(not can_run("avx512vnni"), reason="this CPU has no VNNI")
@pytest.mark.parametrize("case", CASES)
def test_fitted_programs_are_exact_over_the_whole_range(case: str) -> None:
    ctx = context_of(workload_of(CASES[case](), case), tvm.target.Target(ZEN4))
    rng = np.random.default_rng(11)
    arrays = inputs(ctx, rng)
    wanted, _ = output(ctx, materialize(ctx, DEFAULT_PLAN).module, arrays)
    sketches = tensorised(ctx)
    assert any("fit." in name for name in sketches)
    for name, sketch in sketches.items():
        for row in sketch.sample(rng, 2):
            found, assembly = output(ctx, materialize(ctx, sketch_plan(sketch, row)).module, arrays)
            assert np.array_equal(found, wanted), (name, row.tolist())
            assert "vpdpbusd" in assembly


@pytest.mark.skipif(not can_run("avx512bf16"), reason="this CPU has no bfloat16 dot products")
def test_odd_extents_of_bfloat16() -> None:
    ctx, rng = context("gmm:1,7,17,13,dtype=bfloat16"), np.random.default_rng(12)
    arrays = inputs(ctx, rng)
    wanted, _ = output(ctx, materialize(ctx, DEFAULT_PLAN).module, arrays)
    sketches = tensorised(ctx)
    assert sketches
    for name, sketch in sketches.items():
        for row in sketch.sample(rng, 2):
            found, _ = output(ctx, materialize(ctx, sketch_plan(sketch, row)).module, arrays)
            assert np.abs(found - wanted).max() <= 1e-5, (name, row.tolist())


def test_only_what_does_not_fit_is_changed() -> None:
    hardware = hardware_of(tvm.target.Target(ZEN4))
    assert fitted(named_workload("gmm:1,32,48,64,dtype=int8").func, hardware) is None
    assert fitted(named_workload("gmm:1,31,47,63").func, hardware) is None
    rewrite = fitted(named_workload("gmm:1,31,47,63,dtype=int8").func, hardware)
    assert rewrite is not None and rewrite.name == "fit.pad"
    stage = lift(rewrite.func).anchor()
    assert [a.extent for a in (*stage.axes, *stage.reduction)] == [1, 31, 48, 64]


def test_nothing_is_changed_for_a_cpu_without_the_instructions() -> None:
    hardware = hardware_of(tvm.target.Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2}))
    assert fitted(CASES["signed"](), hardware) is None
