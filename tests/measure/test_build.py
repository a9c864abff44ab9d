"""The pipeline that measures and ships."""

from __future__ import annotations

import numpy as np
import pytest
from matmul_plans import matmul, plan_tiled, plan_unrolled

from search_space.hardware import resolve_target
from search_space.tvm_api import IRModule, Schedule, parse_script, structural_equal, te, tvm
from tuner.measure.build import (
    LLVM_OPTIONS,
    STATEMENT_LIMIT,
    TooLarge,
    build_timed,
    compile_module,
    compile_target,
    predicted_statements,
    register_pipeline,
)
from tuner.measure.check import LONG_SUM
from tuner.measure.lowering import hoist_conditions
from tuner.measure.reference import reordered, with_partial_sums

pytestmark = pytest.mark.tvm


CONDITIONAL = """@T.prim_func
def main(a: T.Buffer((64,), "float32"), n: T.int32):
    for i in range(64):
        if n > 3:
            a[i] = T.float32(1)
"""


def module(size: int = 64) -> IRModule:
    return IRModule({"main": matmul(size).with_attr("global_symbol", "main")})


def arguments(size: int = 64) -> list[object]:
    generator = np.random.default_rng(0)
    arrays = [generator.random((1, size, size), dtype=np.float32) for _ in range(3)]
    return [tvm.runtime.tensor(array) for array in arrays]


def test_what_is_measured_and_what_is_shipped_is_the_same_code() -> None:
    candidate = plan_tiled(module(), {"mr": 4, "nv": 2}).module
    target = resolve_target(None, 1)
    shipped = compile_module(candidate, target)
    measured = build_timed(candidate, target)
    assert shipped.mod.inspect_source("s") == measured.library.inspect_source("s")
    one, two = arguments(), arguments()
    shipped["main"](*one)
    measured.function(*two)
    assert np.array_equal(one[2].numpy(), two[2].numpy())
    assert set(measured.stages) == {"lower", "llvm", "load"}


def test_the_pipeline_works_by_name_and_leaves_no_argument_checks() -> None:
    target = compile_target(resolve_target(None, 1))
    built = tvm.compile(module(), target, tir_pipeline=register_pipeline())
    assert "assert_fail" not in built.mod.inspect_source("ll")
    assert "assert_fail" in tvm.compile(module(), target).mod.inspect_source("ll")


def test_options_that_a_target_names_itself_are_kept() -> None:
    plain = compile_target(tvm.target.Target({"kind": "llvm", "num-cores": 3}))
    assert [str(o) for o in plain.attrs["cl-opt"]] == list(LLVM_OPTIONS)
    assert int(plain.attrs["num-cores"]) == 3
    own = ["-vectorize-slp:bool=1", "-enable-pre:bool=0"]
    kept = compile_target(tvm.target.Target({"kind": "llvm", "cl-opt": own}))
    assert [str(o) for o in kept.attrs["cl-opt"]] == own + list(LLVM_OPTIONS[1:])


def test_llvm_knows_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    build_timed(module(), resolve_target(None, 1))
    assert "not an LLVM option" not in capfd.readouterr().err
    build_timed(module(), tvm.target.Target({"kind": "llvm", "cl-opt": ["-no-such-option:bool=1"]}))
    assert "not an LLVM option" in capfd.readouterr().err


def test_an_exploding_unroll_is_refused_before_it_is_lowered() -> None:
    exploded = plan_unrolled(module(), {}).module
    with pytest.raises(TooLarge, match=rf"{2 * 64**3} statements .* limit is {STATEMENT_LIMIT}"):
        compile_module(exploded, resolve_target(None, 1))


def test_statements_are_counted_after_unrolling_and_vectorising() -> None:
    schedule = Schedule(module())
    assert predicted_statements(schedule.mod["main"].body) == 2  # the initial value and the update
    _, i, j, _ = schedule.get_loops(schedule.get_sblock("C"))
    _, i1 = schedule.split(i, [None, 4])
    schedule.unroll(i1)
    assert predicted_statements(schedule.mod["main"].body) == 8
    schedule.vectorize(j)
    assert predicted_statements(schedule.mod["main"].body) == 2 * 4 * 64 / 16


def softmax(rows: int, columns: int) -> object:
    source = te.placeholder((rows, columns), name="source")
    k = te.reduce_axis((0, columns), name="k")
    largest = te.compute((rows,), lambda i: te.max(source[i, k], axis=k), name="largest")
    power = te.compute((rows, columns), lambda i, j: te.exp(source[i, j] - largest[i]), name="power")
    k2 = te.reduce_axis((0, columns), name="k2")
    total = te.compute((rows,), lambda i: te.sum(power[i, k2], axis=k2), name="total")
    result = te.compute((rows, columns), lambda i, j: power[i, j] / total[i], name="result")
    return te.create_prim_func([source, result])


@pytest.mark.parametrize("columns", [1, 7, 100, 128])
def test_the_reordered_program_gives_the_same_values(columns: int) -> None:
    function = softmax(33, columns).with_attr("global_symbol", "main")  # type: ignore[attr-defined]
    plain = IRModule({"main": function})
    values = np.random.default_rng(0).normal(size=(33, columns)).astype("f4")
    results = []
    for program in (plain, reordered(plain)):
        tensors = [tvm.runtime.tensor(values), tvm.runtime.tensor(np.zeros_like(values))]
        build_timed(program, resolve_target(None, 2)).function(*tensors)
        results.append(tensors[1].numpy())
    assert np.allclose(results[0], results[1], rtol=1e-6)
    assert "vectorized" in reordered(plain).script()


def test_reordering_makes_a_matmul_parallel_and_vectorised() -> None:
    text = reordered(module()).script()
    assert "T.parallel(64)" in text
    assert "T.vectorized(64)" in text


@pytest.mark.parametrize("shape", [(1 << 21,), (2048, 1024)])
def test_references_of_long_sums_are_not_off_by_a_percent(shape: tuple[int, ...]) -> None:
    source = te.placeholder(shape, name="source")
    axes = [te.reduce_axis((0, extent), name=f"k{i}") for i, extent in enumerate(shape)]
    total = te.compute((1,), lambda i: te.sum(source(*axes) * source(*axes), axis=axes), name="total")
    plain = IRModule({"main": te.create_prim_func([source, total]).with_attr("global_symbol", "main")})
    values = np.random.default_rng(0).uniform(-1, 1, shape).astype("f4")
    exact = float(np.square(values, dtype=np.float64).sum())
    errors = []
    for program in (plain, with_partial_sums(plain), reordered(with_partial_sums(plain))):
        tensors = [tvm.runtime.tensor(values), tvm.runtime.tensor(np.zeros(1, "f4"))]
        build_timed(program, resolve_target(None, 2)).function(*tensors)
        errors.append(abs(float(tensors[1].numpy()[0]) - exact) / exact)
    assert max(errors[1:]) < 2e-6 < errors[0]


def test_short_sums_keep_their_one_accumulator() -> None:
    assert structural_equal(with_partial_sums(module()), module())
    assert LONG_SUM > 64


def test_conditions_are_hoisted_where_there_are_any():
    plain = module()
    assert hoist_conditions()(plain).same_as(plain)
    with_condition = IRModule({"main": parse_script(CONDITIONAL).with_attr("global_symbol", "main")})
    expected = tvm.s_tir.transform.HoistIfThenElse()(with_condition)
    assert not structural_equal(expected, with_condition)
    assert structural_equal(hoist_conditions()(with_condition), expected)
