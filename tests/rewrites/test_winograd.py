"""Winograd convolutions: right within their tolerance, and made of blocks that can be scheduled."""

import re

import numpy as np
import pytest
from checking import block_names, check_same, inputs, run
from samples import conv_nchw, conv_nhwc, transposed_nchw

from search_space.hardware import resolve_target
from search_space.rewrites import alternatives
from search_space.rewrites.program import lift
from search_space.rewrites.toom_cook import minimal_filter
from search_space.rewrites.winograd import EDGES, winograd
from search_space.tvm_api import IRModule, Schedule, estimate_flops, tvm
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

CASES = {
    "even": lambda: conv_nhwc((1, 8, 8, 4), 8, 3, padding=1),
    "odd with epilogue": lambda: conv_nhwc((2, 7, 9, 18), 10, 3, padding=1, epilogue=True),
    "no padding": lambda: conv_nhwc((1, 11, 9, 3), 10, 3),
    "channels first": lambda: conv_nchw((1, 4, 7, 7), 10, 3, padding=1, epilogue=True),
    "channels first, batch": lambda: conv_nchw((2, 4, 8, 8), 10, 3, padding=1, epilogue=True),
    "groups": lambda: conv_nhwc((2, 7, 8, 12), 12, 3, padding=1, groups=3, epilogue=True),
    "groups, channels first": lambda: conv_nchw((1, 8, 8, 8), 6, 3, padding=1, groups=2),
    "transposed of stride 1": lambda: transposed_nchw((1, 4, 8, 6), 5, 3, 1, 1),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", CASES)
def test_same_result(name, edge):
    func = CASES[name]()
    rewrite = winograd(lift(func), edge)
    check_same(func, rewrite.func, rtol=1e-4, atol=2e-6 * rewrite.tolerance_scale)


LINES = {
    "three taps": ("c1d:1,13,20,18,3,1,1", 4),
    "three taps, no padding": ("c1d:1,16,16,16,3,1,0", 5),
    "five taps": ("c1d:1,16,16,24,5,1,2", 3),
    "five taps, short": ("c1d:1,9,16,16,5,1,2", 2),
    "four taps": ("c1d:1,11,16,16,4,1,1", 4),
    "two taps": ("c1d:1,18,16,16,2,1,0", 6),
}


@pytest.mark.parametrize("name", LINES)
def test_same_result_along_one_dimension(name):
    text, edge = LINES[name]
    func = named_workload(text).func
    rewrite = winograd(lift(func), edge)
    assert rewrite.name in {r.name for r in alternatives(func)}
    check_same(func, rewrite.func, rtol=1e-4, atol=2e-6 * rewrite.tolerance_scale)


@pytest.mark.parametrize("text", ["c1d:1,16,16,16,3,2,1", "c1d:1,16,16,16,1,1,0", "c1d:1,16,16,16,7,1,3"])
def test_other_sequences_are_left_alone(text):
    assert all(winograd(lift(named_workload(text).func), edge) is None for edge in (2, 3, 4))


@pytest.mark.parametrize("edge", EDGES)
def test_matrices_convolve_exactly(edge):
    """A^T [(G g) * (B^T d)] is the correlation of d with g, in exact arithmetic."""
    matrices = minimal_filter(edge, 3)
    rng = np.random.default_rng(0)
    data, taps = rng.normal(size=edge + 2), rng.normal(size=3)
    product = (np.array(matrices.weight) @ taps) * (np.array(matrices.data) @ data)
    expected = [data[i : i + 3] @ taps for i in range(edge)]
    np.testing.assert_allclose(np.array(matrices.result) @ product, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("edge", EDGES)
def test_tolerance_scale_covers_the_rounding_error(edge):
    func = conv_nhwc((1, 12, 12, 64), 16, 3, padding=1)
    rewrite = winograd(lift(func), edge)
    data, weight = (a.astype(np.float64) for a in inputs(func)[:2])
    padded = np.pad(data, ((0, 0), (1, 1), (1, 1), (0, 0)))
    exact = sum(padded[:, r : r + 12, s : s + 12] @ weight[r, s] for r in range(3) for s in range(3))
    direct, transformed = (np.abs(run(f)[0] - exact).max() for f in (func, rewrite.func))
    assert transformed <= rewrite.tolerance_scale * direct


@pytest.mark.parametrize(
    "make",
    [
        lambda: conv_nhwc((1, 8, 8, 4), 8, 3, stride=2, padding=1),
        lambda: conv_nhwc((1, 9, 9, 4), 8, 3, dilation=2),
        lambda: conv_nhwc((1, 8, 8, 4), 8, 5, padding=2),
        lambda: conv_nhwc((1, 8, 8, 4), 8, 1),
        lambda: conv_nhwc((1, 8, 8, 4), 8, 3, padding=1, dtype="int8"),
    ],
)
def test_other_convolutions_are_left_alone(make):
    assert winograd(lift(make()), 2) is None


def test_transforms_vectorise_and_products_tile():
    func = winograd(lift(conv_nhwc((1, 16, 16, 32), 32, 3, padding=1)), 4).func
    assert block_names(func) == ["conv_pad", "conv_tiles", "conv_kernel", "conv", "conv_inverse"]
    schedule = Schedule(IRModule({"main": func}), debug_mask="all")
    for name in ("conv_tiles", "conv_kernel", "conv_inverse"):
        loops = schedule.get_loops(schedule.get_sblock(name))
        schedule.parallel(loops[0])
        schedule.vectorize(schedule.split(loops[-1], [None, 16])[1])
    uv, rows, columns, channels = schedule.get_loops(schedule.get_sblock("conv"))
    outer, inner = schedule.split(rows, [None, 4])
    schedule.reorder(uv, outer, channels, inner, columns)
    schedule.parallel(schedule.fuse(uv, outer))
    schedule.vectorize(columns)
    module = schedule.mod
    text = tvm.compile(module, target=resolve_target(None, 1)).mod.inspect_source("ll")
    assert not re.search(r"masked\.(gather|scatter)", text)
    np.testing.assert_allclose(run(module["main"])[0], run(func)[0], rtol=1e-4, atol=1e-5)


def test_fewer_multiplications():
    func = conv_nhwc((1, 16, 16, 64), 64, 3, padding=1)
    before = estimate_flops(IRModule({"main": func}))
    product = {edge: estimate_flops(IRModule({"main": winograd(lift(func), edge).func})) for edge in (2, 4)}
    assert product[4] < product[2] < 0.75 * before


def test_offered_where_there_are_enough_channels():
    wide = {r.name for r in alternatives(conv_nhwc((1, 8, 8, 16), 16, 3, padding=1))}
    narrow = {r.name for r in alternatives(conv_nhwc((1, 8, 8, 3), 16, 3, padding=1))}
    grouped = {r.name for r in alternatives(conv_nhwc((1, 8, 8, 48), 32, 3, padding=1, groups=2))}
    thin = {r.name for r in alternatives(conv_nhwc((1, 8, 8, 48), 16, 3, padding=1, groups=2))}
    assert {"winograd2", "winograd4"} <= wide & grouped
    assert not thin & {"winograd2", "winograd4"}
    assert not narrow & {"winograd2", "winograd4"}
