"""The cheap softmax is the softmax: infinities, NaN, masks, huge values, and what it must leave alone."""

import numpy as np
import pytest
from checking import block_names, check_same

from search_space.numerics import vectorise_transcendentals
from search_space.rewrites import alternatives
from search_space.rewrites.program import lift
from search_space.rewrites.softmax import softmax
from search_space.tvm_api import IRModule, te, tirx, tvm

pytestmark = pytest.mark.tvm

topi = tvm.topi


def plain(shape=(5, 19)):
    data = te.placeholder(shape, name="data")
    return te.create_prim_func([data, topi.nn.softmax(data, axis=-1)])


def masked(shape=(2, 3, 7, 12)):
    data = te.placeholder(shape, name="data")
    mask = te.placeholder((shape[0], 1, 1, shape[-1]), name="mask")
    scores = te.compute(shape, lambda b, h, i, j: data[b, h, i, j] * 0.125 + mask[b, 0, 0, j], name="scores")
    return te.create_prim_func([data, mask, topi.nn.softmax(scores, axis=-1)])


def with_a_gap(shape=(5, 19)):
    """The exponentials are used twice: summed as they are, and squared with another index."""
    data = te.placeholder(shape, name="data")
    k, r = (te.reduce_axis((0, shape[1]), name=n) for n in "kr")
    largest = te.compute(shape[:1], lambda i: te.max(data[i, k], axis=k), name="largest")
    powers = te.compute(shape, lambda i, j: te.exp(data[i, j] - largest[i]), name="powers")
    total = te.compute(shape[:1], lambda i: te.sum(powers[i, r] * powers[i, 18 - r], axis=r), name="total")
    out = te.compute(shape, lambda i, j: powers[i, 18 - j] / total[i], name="out")
    return te.create_prim_func([data, out])


def without_maximum(shape=(5, 19)):
    data = te.placeholder(shape, name="data")
    k = te.reduce_axis((0, shape[1]), name="k")
    powers = te.compute(shape, lambda i, j: te.exp(data[i, j]), name="powers")
    total = te.compute(shape[:1], lambda i: te.sum(powers[i, k], axis=k), name="total")
    return te.create_prim_func([data, te.compute(shape, lambda i, j: powers[i, j] / total[i], name="out")])


def minimum_instead(shape=(5, 19)):
    data = te.placeholder(shape, name="data")
    k = te.reduce_axis((0, shape[1]), name="k")
    least = te.compute(shape[:1], lambda i: te.min(data[i, k], axis=k), name="least")
    return te.create_prim_func([data, te.compute(shape, lambda i, j: te.exp(data[i, j] - least[i]))])


def maximum_of_something_else(shape=(5, 19)):
    data = te.placeholder(shape, name="data")
    k = te.reduce_axis((0, shape[1]), name="k")
    largest = te.compute(shape[:1], lambda i: te.max(data[i, k] * 0.5, axis=k), name="largest")
    return te.create_prim_func([data, te.compute(shape, lambda i, j: te.exp(data[i, j] - largest[i]))])


@pytest.mark.parametrize("make", [plain, masked, without_maximum])
def test_computes_the_same(make):
    func = make()
    check_same(func, softmax(lift(func)).func, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("make", [plain, masked, with_a_gap])
def test_padded_rows_compute_the_same(make):
    func = make()
    rewrite = softmax(lift(func), 16)
    assert rewrite.name == "scaled16"
    check_same(func, rewrite.func, rtol=1e-6, atol=1e-7)


def test_maximum_exponentials_and_sum_run_over_whole_vectors():
    text = softmax(lift(plain()), 16).func.script()
    assert text.count("T.grid(5, 32)") == 4
    assert text.count("T.grid(5, 19)") == 1


def test_rows_of_whole_vectors_need_no_padding():
    assert softmax(lift(plain((5, 32))), 16) is None
    assert softmax(lift(without_maximum()), 16) is None


def test_divides_once_a_row_and_bounds_the_exponent():
    rewritten = softmax(lift(plain())).func
    assert block_names(rewritten) == [
        "T_softmax_maxelem",
        "T_softmax_exp",
        "T_softmax_expsum",
        "T_softmax_expsum_inverse",
        "T_softmax_norm",
    ]
    assert "T.exp(T.min(" in rewritten.script()


def test_an_exponential_that_may_be_large_keeps_its_range():
    assert "T.min(" not in softmax(lift(without_maximum())).func.script()
    assert softmax(lift(minimum_instead())) is None
    assert softmax(lift(maximum_of_something_else())) is None


def test_a_function_without_rows_has_no_such_rewrite():
    data = te.placeholder((8, 16), name="data")
    func = te.create_prim_func([data, te.compute((8, 16), lambda i, j: te.exp(data[i, j]) / 3.0)])
    assert softmax(lift(func)) is None
    assert alternatives(func) == []


def test_half_precision_is_left_alone():
    data = te.placeholder((5, 19), name="data", dtype="float16")
    assert softmax(lift(te.create_prim_func([data, topi.nn.softmax(data, axis=-1)]))) is None


@pytest.mark.parametrize("multiple", [1, 12])
def test_infinite_masks_huge_values_and_not_a_number(multiple):
    rows = np.zeros((7, 16), np.float32)
    rows[0, ::2] = -np.inf
    rows[1] = -np.inf
    rows[2, 3] = np.inf
    rows[3, 3] = np.nan
    rows[4, :8], rows[4, 8:] = 3e38, -3e38
    rows[5] = np.linspace(-200, 0, 16)
    rows[6] = 80.0
    func = plain(rows.shape)
    results = []
    for version in (func, softmax(lift(func), multiple).func):
        module = vectorise_transcendentals(IRModule({"main": version.with_attr("global_symbol", "main")}))
        out = tvm.runtime.tensor(np.full(rows.shape, 7, np.float32))
        tvm.compile(module, target=tvm.target.Target({"kind": "llvm", "opt-level": 0}))["main"](
            tvm.runtime.tensor(rows), out
        )
        results.append(out.numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-12)
    assert (results[1][0, ::2] == 0).all()


def test_integer_division_is_left_alone():
    data = te.placeholder((5, 16), name="data", dtype="int32")
    k = te.reduce_axis((0, 16), name="k")
    total = te.compute((5,), lambda i: te.sum(data[i, k], axis=k), name="total")
    out = te.compute((5, 16), lambda i, j: tirx.div(data[i, j], total[i]), name="out")
    assert softmax(lift(te.create_prim_func([data, out]))) is None
