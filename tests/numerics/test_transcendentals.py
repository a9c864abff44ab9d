"""Rewritten functions are accurate everywhere, vectorise, and call no library."""

import math
import re

import numpy as np
import pytest
from float_error import sample, ulp_error

from search_space.hardware import hardware_of, resolve_target
from search_space.numerics import vectorise_transcendentals
from search_space.tvm_api import IRModule, Schedule, structural_equal, te, tirx, tvm

pytestmark = pytest.mark.tvm

COUNT = 1 << 18
LANES = 16


def _double_erf(x):
    return np.array([math.erf(v) for v in x])


def _double_sigmoid(x):
    decay = np.exp(-np.abs(x))
    return np.where(x < 0, decay, 1.0) / (1.0 + decay)


def _power(exponent):
    return lambda x: te.power(x, tirx.const(exponent, "float32"))


FUNCTIONS = {
    "exp": (te.exp, np.exp),
    "log": (te.log, np.log),
    "tanh": (te.tanh, np.tanh),
    "erf": (te.erf, _double_erf),
    "sigmoid": (te.sigmoid, _double_sigmoid),
    "rsqrt": (te.rsqrt, lambda x: 1 / np.sqrt(x)),
}
POWERS = (-3.0, -2.0, -1.0, 0.0, 2.0, 3.0, 5.0, 6.0, 0.25, 0.5, -0.5, 1.5)


def program(function, count=COUNT, lanes=LANES, dtype="float32"):
    source = te.placeholder((count,), name="A", dtype=dtype)
    result = te.compute((count,), lambda i: function(source[i]), name="B")
    schedule = Schedule(te.create_prim_func([source, result]))
    if lanes > 1:
        (loop,) = schedule.get_loops(schedule.get_sblock("B"))
        schedule.vectorize(schedule.split(loop, [None, lanes])[1])
    return schedule.mod


def run(module, values, target=None):
    executable = tvm.compile(module, target=resolve_target(target, 1))
    result = tvm.runtime.tensor(np.zeros_like(values))
    executable["main"](tvm.runtime.tensor(values), result)
    return result.numpy()


@pytest.mark.parametrize("lanes", [1, LANES])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_four_units_in_the_last_place(name, lanes):
    function, exact = FUNCTIONS[name]
    values = sample(COUNT)
    got = run(vectorise_transcendentals(program(function, lanes=lanes)), values)
    with np.errstate(all="ignore"):
        error = ulp_error(got, exact(values.astype(np.float64)))
    worst = int(np.argmax(error))
    assert error[worst] <= 4.0, (values[worst], got[worst], error[worst])


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "sigmoid"])
def test_accurate_without_fused_multiply_add(name):
    function, exact = FUNCTIONS[name]
    values = sample(COUNT, seed=1)
    module = vectorise_transcendentals(program(function))
    with np.errstate(all="ignore"):
        error = ulp_error(run(module, values, "llvm -mcpu=x86-64"), exact(values.astype(np.float64)))
    assert error.max() <= 4.0


@pytest.mark.parametrize("exponent", POWERS)
def test_powers_with_short_forms(exponent):
    values = sample(COUNT // 8, seed=2)
    module = vectorise_transcendentals(program(_power(exponent), count=values.size))
    assert "pow(" not in module.script()
    got = run(module, values)
    exact = np.array([_c_pow(float(v), exponent) for v in values])
    error = ulp_error(got, exact)
    assert error.max() <= 4.0, values[int(np.argmax(error))]


def _c_pow(base, exponent):
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
    except ValueError:  # zero to a negative power, or a root of a negative number
        if base == 0.0:
            return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
        return math.nan


def test_power_without_a_short_form_stays():
    module = program(_power(2.7), count=64)
    assert structural_equal(vectorise_transcendentals(module), module)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_machine_code_is_vector_arithmetic(name):
    target = resolve_target(None, 1)
    register = {64: "zmm", 32: "ymm", 16: "xmm"}[hardware_of(target).vector_bytes]
    module = vectorise_transcendentals(program(FUNCTIONS[name][0], count=4096))
    library = tvm.compile(module, target=target).mod
    kernel = re.search(
        r"define internal fastcc void @\w*main_compute_\(.*?\n}", library.inspect_source("ll"), re.S
    )
    assert kernel is not None
    calls = re.findall(r"call [^@]*@([\w.]+)", kernel.group(0))
    assert all(call.startswith("llvm.") for call in calls), calls
    assert not any(call.startswith(("llvm.exp", "llvm.log", "llvm.pow", "llvm.masked")) for call in calls)
    assembly = library.inspect_source("asm")
    assert register in assembly
    assert not re.search(r"\b(exp|log|tanh|erf|pow)f\b", assembly)


def test_no_fast_math_flags():
    text = tvm.compile(
        vectorise_transcendentals(program(te.exp, count=64)), target=resolve_target(None, 1)
    ).mod.inspect_source("ll")
    assert not re.search(r"\bf(add|mul|sub|div) [^\n]*\b(fast|reassoc|nnan|ninf|contract)\b", text)


def test_narrow_floats_are_computed_in_float32():
    values = np.linspace(-4, 4, 1024).astype(np.float16)
    got = run(vectorise_transcendentals(program(te.tanh, count=values.size, dtype="float16")), values)
    exact = np.tanh(values.astype(np.float64)).astype(np.float16)
    assert np.abs(got.astype(np.float64) - exact.astype(np.float64)).max() <= 5e-4


def test_nested_calls_in_scheduled_code_with_unrolled_loops():
    count = 256
    source = te.placeholder((count,), name="A")
    result = te.compute((count,), lambda i: te.log(te.exp(source[i]) + te.exp(-source[i])), name="B")
    schedule = Schedule(te.create_prim_func([source, result]))
    (loop,) = schedule.get_loops(schedule.get_sblock("B"))
    _, middle, inner = schedule.split(loop, [None, 4, 16])
    schedule.unroll(middle)
    schedule.vectorize(inner)
    values = np.linspace(-8, 8, count).astype(np.float32)
    got = run(vectorise_transcendentals(schedule.mod), values)
    assert np.allclose(got, np.log(2 * np.cosh(values.astype(np.float64))), rtol=1e-6)


def test_predicated_tail_and_softmax_reduction():
    rows, columns = 3, 37
    source = te.placeholder((rows, columns), name="A")
    axis = te.reduce_axis((0, columns), name="k")
    top = te.compute((rows,), lambda i: te.max(source[i, axis], axis=axis), name="top")
    other = te.reduce_axis((0, columns), name="k")
    total = te.compute((rows,), lambda i: te.sum(te.exp(source[i, other] - top[i]), axis=other), name="total")
    result = te.compute((rows, columns), lambda i, j: te.exp(source[i, j] - top[i]) / total[i], name="B")
    schedule = Schedule(te.create_prim_func([source, result]))
    _, column = schedule.get_loops(schedule.get_sblock("B"))
    schedule.vectorize(schedule.split(column, [None, 16])[1])
    values = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    got = run(vectorise_transcendentals(schedule.mod), values)
    exact = np.exp(values.astype(np.float64))
    assert np.allclose(got, exact / exact.sum(1, keepdims=True), rtol=2e-6)


def test_functions_and_modules_and_nothing_to_do():
    module = program(te.exp, count=64)
    function = vectorise_transcendentals(module["main"])
    assert structural_equal(vectorise_transcendentals(module)["main"], function)
    assert structural_equal(vectorise_transcendentals(IRModule({"main": function}))["main"], function)
    plain = program(lambda x: x + tirx.const(1.0, "float32"), count=64)["main"]
    assert vectorise_transcendentals(plain).same_as(plain)


def test_maximum_is_one_vector_instruction():
    module = program(lambda x: tirx.max(x, tirx.const(0.0, "float32")), count=4096)
    assembly = tvm.compile(module, target=resolve_target(None, 1)).mod.inspect_source("asm")
    assert re.search(r"\bv?maxps\b", assembly)


def _bounded_exp(x):
    return tirx.exp(tirx.min(x, tirx.const(0.0, "float32")))


def test_the_short_exponential_is_exact_on_the_scale_of_one():
    values = np.concatenate([-np.geomspace(1e-7, 87.0, COUNT // 2), np.linspace(-87.0, 0.0, COUNT // 2)])
    values = values.astype(np.float32)
    exact = np.exp(values.astype(np.float64))
    got = run(vectorise_transcendentals(program(_bounded_exp)), values)
    assert (np.abs(got - exact) / exact <= 2.0**-23 * 3 + 1.4e-8 * np.abs(values)).all()
    assert np.abs(got - exact).max() <= 2.0**-22


def test_the_short_exponential_ends_in_zero():
    values = np.resize(np.array([-88.1, -104.0, -3e38, -np.inf, np.nan, 0.0], np.float32), COUNT)
    got = run(vectorise_transcendentals(program(_bounded_exp)), values)[:6]
    assert (got[:4] == 0).all() and np.isnan(got[4]) and got[5] == 1.0
