"""Reductions along rows that vectors do not divide: whole vectors first, the rest after."""

import pytest
from checking import block_names, check_same
from samples import conv_nhwc, matmul

from search_space.rewrites import alternatives
from search_space.rewrites.program import lift
from search_space.rewrites.row_tails import row_tails
from search_space.tvm_api import te
from tuner.workloads.rows import layer_norm, norm

pytestmark = pytest.mark.tvm


def reduced(kind, shape=(6, 49)):
    data = te.placeholder(shape, name="data")
    k = te.reduce_axis((0, shape[1]), name="k")
    reduce = {"sum": te.sum, "max": te.max, "min": te.min}[kind]
    return te.create_prim_func([data, te.compute(shape[:1], lambda i: reduce(data[i, k] * 0.5, axis=k))])


def normalised(shape=(3, 5, 35)):
    data, scale, shift = (
        te.placeholder(s, name=n) for s, n in ((shape, "x"), (shape[2:], "g"), (shape[2:], "b"))
    )
    return te.create_prim_func([data, scale, shift, layer_norm(data, scale, shift, [2], 1e-5)])


def frobenius(shape=(2, 7, 37)):
    data = te.placeholder(shape, name="data")
    return te.create_prim_func([data, norm(data)])


CASES = {
    "sum": lambda: reduced("sum"),
    "max": lambda: reduced("max"),
    "min": lambda: reduced("min"),
    "layer norm": normalised,
    "norm": frobenius,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lanes", [8, 16])
def test_computes_the_same(name, lanes):
    func = CASES[name]()
    rewrite = row_tails(lift(func), lanes)
    assert rewrite is not None
    check_same(func, rewrite.func, rtol=1e-5, atol=1e-6)


def test_every_reduction_of_a_chain_is_split():
    names = block_names(row_tails(lift(normalised()), 16).func)
    assert [n for n in names if n.endswith("_main")] == ["row_sum_main", "square_sum_main"]


def columns():
    data = te.placeholder((49, 16), name="data")
    k = te.reduce_axis((0, 49), name="k")
    return te.create_prim_func([data, te.compute((16,), lambda j: te.sum(data[k, j], axis=k))])


LEFT_ALONE = {
    "whole vectors": lambda: reduced("sum", (6, 48)),
    "less than a vector": lambda: reduced("sum", (6, 15)),
    "columns": columns,
    "product": lambda: matmul(7, 33, 49),
    "convolution": lambda: conv_nhwc((1, 7, 9, 18), 10, 3),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_reductions_are_left_alone(name):
    func = LEFT_ALONE[name]()
    assert row_tails(lift(func), 16) is None
    assert not any(r.name.startswith("tails") for r in alternatives(func))
