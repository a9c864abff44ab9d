"""Winograd by rows of tiles: any kernel, stride and dilation, right within its tolerance."""

import numpy as np
import pytest
from checking import block_names, check_same, inputs, run
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import conv_nchw, conv_nhwc

from search_space.rewrites import alternatives
from search_space.rewrites.affine import Dim
from search_space.rewrites.filtering import filtered
from search_space.rewrites.program import Axis, lift
from search_space.rewrites.toom_cook import TOLERANCE, minimal_filter
from search_space.rewrites.winograd_tiles import winograd_tiles
from search_space.tvm_api import tirx
from tuner.workloads import named_workload

CASES = {
    "first layer": ("winograd4.4", lambda: conv_nhwc((1, 17, 18, 3), 16, 7, stride=2, padding=3)),
    "epilogue": ("winograd4.4", lambda: conv_nhwc((1, 16, 16, 3), 16, 7, stride=2, padding=3, epilogue=True)),
    "blocks": ("winograd4.4", lambda: conv_nhwc((2, 14, 17, 3), 16, 7, padding=2)),
    "strided samples": ("winograd4.4", lambda: conv_nhwc((1, 21, 24, 3), 16, 7, 2, 3, dilation=2)),
    "phases": ("winograd2.3", lambda: conv_nhwc((1, 12, 11, 16), 16, 3, padding=1, dilation=2)),
    "no padding": ("winograd4.4", lambda: conv_nhwc((1, 20, 20, 4), 16, 4)),
    "depth": ("winograd4.3", lambda: named_workload("c3d:1,5,9,8,16,16,3,1,1").func),
    "depth, strided": ("winograd4.4", lambda: named_workload("c3d:1,5,13,14,3,16,7,2,3").func),
}


@pytest.mark.tvm
@pytest.mark.parametrize("name", CASES)
def test_same_result(name):
    word, make = CASES[name]
    func = make()
    edge = int(word[len("winograd")])
    rewrite = winograd_tiles(lift(func), (edge,), most_work=2.0)
    assert rewrite.name == word
    check_same(func, rewrite.func, rtol=1e-3, atol=2e-5 * rewrite.tolerance_scale)


@pytest.mark.tvm
def test_tolerance_scale_covers_the_rounding_error():
    func = conv_nhwc((1, 28, 28, 8), 16, 7, stride=2, padding=3)
    rewrite = winograd_tiles(lift(func))
    data, weight = (a.astype(np.float64) for a in inputs(func)[:2])
    padded = np.pad(data, ((0, 0), (3, 3), (3, 3), (0, 0)))
    exact = sum(padded[:, r : r + 27 : 2, s : s + 27 : 2] @ weight[r, s] for r in range(7) for s in range(7))
    direct, transformed = (np.abs(run(f)[0] - exact).max() for f in (func, rewrite.func))
    assert transformed <= rewrite.tolerance_scale * direct


@pytest.mark.tvm
@pytest.mark.parametrize(
    "make",
    [
        lambda: conv_nhwc((1, 16, 16, 8), 16, 3, stride=2, padding=1),  # hardly fewer products
        lambda: conv_nhwc((1, 17, 17, 8), 16, 3, stride=2, padding=2, dilation=3),
        lambda: conv_nhwc((1, 16, 16, 8), 16, 1),
        lambda: conv_nhwc((1, 16, 16, 3), 8, 7, stride=2, padding=3),  # too few results share a tile
        lambda: conv_nchw((1, 8, 16, 16), 16, 3, padding=1),
        lambda: conv_nhwc((1, 16, 16, 8), 16, 3, padding=1, dtype="int8"),
    ],
)
def test_other_convolutions_are_left_alone(make):
    assert winograd_tiles(lift(make())) is None


@pytest.mark.tvm
def test_offered_once_and_with_four_stages():
    func = conv_nhwc((1, 48, 48, 3), 16, 7, stride=2, padding=3)
    (found,) = (r for r in alternatives(func) if r.name.startswith("winograd"))
    names = ["conv_pad", "conv_tiles", "conv_taps", "conv_kernel", "conv", "conv_inverse"]
    assert block_names(found.func) == names


@pytest.mark.pure
@given(results=st.integers(2, 6), taps=st.integers(2, 6), seed=st.integers(0, 99))
@settings(deadline=None)
def test_matrices_correlate_exactly(results, taps, seed):
    size = results + taps - 1
    if size not in TOLERANCE:
        with pytest.raises(ValueError, match="points"):
            minimal_filter(results, taps)
        return
    matrices = minimal_filter(results, taps)
    rng = np.random.default_rng(seed)
    data, weights = rng.normal(size=size), rng.normal(size=taps)
    product = (np.array(matrices.weight) @ weights) * (np.array(matrices.data) @ data)
    wanted = [data[i : i + taps] @ weights for i in range(results)]
    np.testing.assert_allclose(np.array(matrices.result) @ product, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.pure
@given(
    extent=st.integers(4, 30),
    kernel=st.integers(2, 9),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 4),
    edge=st.sampled_from([2, 4]),
)
@settings(deadline=None)
def test_tiles_read_what_the_window_reads(extent, kernel, stride, dilation, edge):
    """Each tap of each result is read once, at its place; what else is read meets a zero tap."""
    output, tap = (Axis(tirx.Var(n, "int32"), e) for n, e in (("h", extent), ("r", kernel)))
    cut = filtered(Dim(output, tap, stride, dilation, -3, 1, 10**6, True), edge)
    if cut is None:
        return
    found = {}
    for tile in range(cut.tiles):
        for phase in range(cut.phases):
            for inside in range(edge):
                h = (tile * edge + inside) * cut.phases + phase
                for part in range(cut.parts):
                    for block in range(cut.blocks):
                        for j in range(cut.taps):
                            x = cut.position(tile + block, phase, part, inside + j)
                            assert cut.read[0] <= x <= cut.read[1]
                            if h < extent and (r := cut.tap_at(part, block, j)) < kernel:
                                assert (h, r) not in found
                                found[h, r] = x
    wanted = {(h, r): stride * h + dilation * r - 3 for h in range(extent) for r in range(kernel)}
    assert found == wanted
