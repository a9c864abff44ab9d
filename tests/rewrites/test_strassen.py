"""Strassen's products: right for every place that rows, columns and sums may have, exact on integers."""

import numpy as np
import pytest
from checking import block_names, check_same, inputs, run
from samples import conv_nhwc, product

from search_space.rewrites import alternatives
from search_space.rewrites.program import lift
from search_space.rewrites.strassen import DATA, PRODUCTS, RESULT, WEIGHT, strassen
from search_space.workload import CONSTANTS


def weights(func):
    return [func.params[1]]


CASES = {
    "plain": lambda: product((64,)),
    "odd rows": lambda: product((1, 77), epilogue=True),
    "batch": lambda: product((4, 17), epilogue=True),
    "transposed weight": lambda: product((66,), transposed=True, epilogue=True),
    "panels of 64": lambda: product((64,), terms=768, columns=512),
    "convolution": lambda: conv_nhwc((1, 8, 9, 512), 768, 1, epilogue=True).with_attr(CONSTANTS, [1]),
}


@pytest.mark.tvm
@pytest.mark.parametrize("name", CASES)
def test_same_result(name):
    func = CASES[name]()
    rewrite = strassen(lift(func), weights(func))
    assert rewrite is not None
    check_same(func, rewrite.func, rtol=1e-4, atol=5e-5)


@pytest.mark.pure
def test_the_seven_products_are_the_product_of_quarters():
    found = np.einsum("cq,qa,qb->cab", RESULT, DATA, WEIGHT)
    for row in range(2):
        for column in range(2):
            wanted = np.zeros((4, 4))
            for k in range(2):
                wanted[2 * row + k, 2 * k + column] = 1
            np.testing.assert_array_equal(found[2 * row + column], wanted)
    assert len(DATA) == len(WEIGHT) == PRODUCTS


@pytest.mark.tvm
def test_tolerance_scale_covers_the_rounding_error():
    func = product((64,))
    rewrite = strassen(lift(func), weights(func))
    data, weight = (a.astype(np.float64) for a in inputs(func)[:2])
    direct, faster = (np.abs(run(f)[0] - data @ weight).max() for f in (func, rewrite.func))
    assert faster <= rewrite.tolerance_scale * direct


@pytest.mark.tvm
@pytest.mark.parametrize(
    "make",
    [
        lambda: product((32,)),  # few rows
        lambda: product((64,), terms=384),
        lambda: product((64,), columns=512),
        lambda: product((65,), columns=770),  # columns have no panels
        lambda: product((7, 16)),  # an eighth of the rows would be computed twice
        lambda: product((64,), dtype="float16"),
        lambda: conv_nhwc((1, 16, 16, 512), 768, 1, stride=2).with_attr(CONSTANTS, [1]),
        lambda: conv_nhwc((1, 8, 8, 512), 768, 3, padding=1).with_attr(CONSTANTS, [1]),
    ],
)
def test_other_products_are_left_alone(make):
    func = make()
    assert strassen(lift(func), weights(func)) is None


@pytest.mark.tvm
def test_only_weights_are_taken_apart_beforehand():
    func = product((64,))
    (found,) = (r for r in alternatives(func) if r.name == "strassen")
    assert block_names(found.func) == ["product_tiles", "product_kernel", "product", "product_inverse"]
    assert not any(r.name == "strassen" for r in alternatives(func.without_attr(CONSTANTS)))
    assert not any(r.name == "strassen" for r in alternatives(func, has_caches=False))
