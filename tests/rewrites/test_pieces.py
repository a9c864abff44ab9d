"""Long rows piece by piece: softmax in one pass, sum and squared deviations in one pass."""

import numpy as np
import pytest
from checking import block_names, check_same
from test_softmax import masked, maximum_of_something_else, plain, with_a_gap, without_maximum

from search_space.numerics import vectorise_transcendentals
from search_space.rewrites import alternatives
from search_space.rewrites.moments import piecewise_moments
from search_space.rewrites.online_softmax import online_softmax
from search_space.rewrites.pieces import piece_of
from search_space.rewrites.program import lift
from search_space.tvm_api import IRModule, te, tvm
from tuner.workloads.rows import layer_norm

pytestmark = pytest.mark.tvm

ROW = 8192


def normalised(shape=(2, 3, ROW), lead=1.0):
    data, scale, shift = (
        te.placeholder(s, name=n) for s, n in ((shape, "x"), (shape[2:], "g"), (shape[2:], "b"))
    )
    twice = te.compute(shape, lambda *at: data[at] * lead, name="twice")
    return te.create_prim_func([data, scale, shift, layer_norm(twice, scale, shift, [2], 1e-5)])


def biased_softmax():
    """What follows the quotient reads it element by element, and again turned around."""
    data = te.placeholder((3, ROW), name="data")
    k, r = (te.reduce_axis((0, ROW), name=n) for n in "kr")
    largest = te.compute((3,), lambda i: te.max(data[i, k], axis=k), name="largest")
    powers = te.compute((3, ROW), lambda i, j: te.exp(data[i, j] - largest[i]), name="powers")
    total = te.compute((3,), lambda i: te.sum(powers[i, r], axis=r), name="total")
    quotient = te.compute((3, ROW), lambda i, j: powers[i, j] / total[i] * 2.0 + data[i, j], name="quotient")
    out = te.compute((ROW, 3), lambda j, i: quotient[i, ROW - 1 - j] + 1.0, name="out")
    return te.create_prim_func([data, out])


@pytest.mark.parametrize("make", [lambda: plain((3, ROW)), lambda: masked((2, 1, 3, ROW)), biased_softmax])
def test_one_pass_softmax_computes_the_same(make):
    func = make()
    rewrite = online_softmax(lift(func), 16)
    assert rewrite.name == "online1024"
    check_same(func, rewrite.func, rtol=2e-6, atol=1e-9)


def test_one_pass_softmax_takes_one_exponential_an_element():
    func = online_softmax(lift(plain((3, ROW))), 16).func
    assert block_names(func) == [
        "T_softmax_maxelem_piece",
        "T_softmax_exp",
        "T_softmax_maxelem",
        "T_softmax_exp_factor",
        "T_softmax_expsum_piece",
        "T_softmax_expsum",
        "T_softmax_norm_factor",
        "T_softmax_norm",
    ]
    assert func.script().count("T.exp(") == 2  # of an element, and of a piece


def test_infinite_masks_huge_values_and_not_a_number_in_pieces():
    rows = np.zeros((8, ROW), np.float32)
    rows[0, ::2] = -np.inf
    rows[1] = -np.inf
    rows[2, 3] = np.inf
    rows[3, 3] = np.nan
    rows[4, :2000], rows[4, 2000:] = 3e38, -3e38
    rows[5] = np.linspace(-200, 0, ROW)
    rows[6, :2048] = -np.inf  # whole pieces of nothing
    rows[7] = np.linspace(90, -90, ROW)
    func = plain(rows.shape)
    results = []
    for version in (func, online_softmax(lift(func), 16).func):
        module = vectorise_transcendentals(IRModule({"main": version.with_attr("global_symbol", "main")}))
        out = tvm.runtime.tensor(np.full(rows.shape, 7, np.float32))
        tvm.compile(module, target=tvm.target.Target({"kind": "llvm", "opt-level": 0}))["main"](
            tvm.runtime.tensor(rows), out
        )
        results.append(out.numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=2e-6, atol=1e-12)
    assert (results[1][0, ::2] == 0).all() and (results[1][6, :2048] == 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: plain((5, 1024)),
        lambda: plain((2, 8209)),
        lambda: with_a_gap((2, 19)),
        lambda: without_maximum((2, ROW)),
        lambda: maximum_of_something_else((2, ROW)),
        normalised,
    ],
)
def test_other_rows_are_not_cut_for_softmax(make):
    assert online_softmax(lift(make()), 16) is None


@pytest.mark.parametrize("lead", [1.0, -3.0])
def test_piecewise_moments_compute_the_same(lead):
    func = normalised(lead=lead)
    rewrite = piecewise_moments(lift(func), 16)
    assert rewrite.name == "moments1024"
    check_same(func, rewrite.func, rtol=1e-5, atol=1e-5)


def test_a_large_offset_cancels_nothing():
    rng = np.random.default_rng(3)
    rows = (1e4 + rng.normal(size=(1, 2, ROW)) + np.linspace(-50, 50, ROW)).astype(np.float32)
    ones, zeros = np.ones(ROW, np.float32), np.zeros(ROW, np.float32)
    func = piecewise_moments(lift(normalised(rows.shape)), 16).func.with_attr("global_symbol", "main")
    out = tvm.runtime.tensor(np.zeros_like(rows))
    tvm.compile(IRModule({"main": func}), target="llvm")["main"](
        *map(tvm.runtime.tensor, (rows, ones, zeros)), out
    )
    wide = rows.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    exact = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
    assert np.abs(out.numpy() - exact).max() < 1e-3


def deviations_from_another_row():
    data = te.placeholder((4, ROW), name="data")
    k, r = (te.reduce_axis((0, ROW), name=n) for n in "kr")
    total = te.compute((4,), lambda i: te.sum(data[i, k], axis=k), name="total")

    def square(i):
        off = data[i, r] - total[3 - i]
        return te.sum(off * off, axis=r)

    return te.create_prim_func([data, te.compute((4,), square, name="squares")])


@pytest.mark.parametrize(
    "make",
    [
        lambda: normalised((2, 3, 1024)),
        lambda: normalised((2, 3, 8209)),
        deviations_from_another_row,
        lambda: plain((3, ROW)),
    ],
)
def test_other_rows_keep_their_two_passes(make):
    assert piecewise_moments(lift(make()), 16) is None


def test_pieces_divide_rows_into_whole_vectors():
    for extent in range(8192, 90000, 16):
        piece = piece_of(extent, 16)
        assert piece is None or (extent % piece == 0 and piece % 16 == 0 and 256 <= piece <= 1024)
    assert piece_of(16384, 16) == 1024
    assert piece_of(8000, 16) is None


def test_only_where_one_core_runs_the_passes_of_a_row():
    func = plain((3, ROW))
    assert "online1024" in {r.name for r in alternatives(func)}
    assert "online1024" not in {r.name for r in alternatives(func, has_caches=False)}
