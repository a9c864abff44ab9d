"""Covers by overlapping tiles: every element is reached, and programs compute the same."""

import pytest
from checking import block_names, check_same
from hypothesis import given
from hypothesis import strategies as st
from samples import conv_nchw, conv_nhwc, matmul

from search_space.rewrites import alternatives
from search_space.rewrites.alternatives import LANES, choose_covers
from search_space.rewrites.overlap import Cover, covered, covers_of, overlap, plain_layout
from search_space.rewrites.program import constant, lift

pure = pytest.mark.pure


@pure
@given(st.integers(1, 1500), st.integers(1, 24), st.floats(0, 1))
def test_covers_reach_every_element_and_keep_their_promises(extent, multiple, waste):
    for cover in covers_of(extent, multiple, waste):
        assert cover.step <= cover.size  # no gap, and the last tile ends where the extent does
        assert (cover.tiles - 1) * cover.step + cover.size == extent
        assert cover.size % multiple == 0 and cover.computed <= extent * (1 + waste)


@pure
@given(st.integers(LANES + 1, 4000).filter(lambda n: n % LANES))
def test_every_extent_longer_than_a_vector_gets_full_vectors(extent):
    (cover,) = choose_covers((8, extent), -1).values()
    assert cover.size % LANES == 0
    assert cover.computed <= extent + 2 * LANES


@pure
@pytest.mark.parametrize(("rows", "computed"), [(127, 128), (197, 198), (509, 512), (1021, 1022)])
def test_prime_rows_cost_next_to_nothing(rows, computed):
    (cover,) = choose_covers((rows, 64), 0).values()
    assert cover.computed == computed


@pure
@pytest.mark.parametrize("rows", [7, 14, 49, 56, 128, 196])
def test_rows_that_have_a_tile_are_left_alone(rows):
    assert choose_covers((rows, 64), 0) == {}


@pure
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((8, 2, 8), "do not overlap"),
        ((9, 2, 4), "do not overlap"),
        ((11, 4, 4), "evenly"),
        ((8, 1, 8), "do not"),
    ],
)
def test_covers_check_themselves(values, message):
    with pytest.raises(ValueError, match=message):
        Cover(*values)


@pytest.mark.tvm
def test_both_directions_of_a_covered_layout_agree():
    layout = covered(plain_layout(lift(matmul(7, 24, 3)).anchor()), {0: Cover(7, 2, 4), 1: Cover(24, 3, 10)})
    assert layout.shape == (2, 4, 3, 10)
    for m in range(7):
        for n in range(24):
            index = layout.to_new((m, n))
            assert all(0 <= constant(i) < e for i, e in zip(index, layout.shape, strict=True))
            assert tuple(constant(i) for i in layout.to_old(index)) == (m, n)


PROGRAMS = {
    "matmul": (lambda: matmul(19, 37, 5), {0: Cover(19, 2, 10), 1: Cover(37, 2, 32)}),
    "matmul, epilogue": (lambda: matmul(19, 37, 5, epilogue=True), {1: Cover(37, 4, 10)}),
    "int8": (lambda: matmul(19, 37, 5, dtype="int8"), {0: Cover(19, 4, 7)}),
    "convolution": (
        lambda: conv_nhwc((1, 7, 9, 6), 20, 3, padding=1),
        {1: Cover(7, 2, 4), 3: Cover(20, 2, 16)},
    ),
    "residual": (lambda: conv_nhwc((1, 7, 9, 6), 20, 3, padding=1, epilogue=True), {3: Cover(20, 2, 16)}),
    "channels first": (
        lambda: conv_nchw((1, 4, 6, 20), 6, 3, padding=1, epilogue=True),
        {3: Cover(20, 2, 16)},
    ),
}


@pytest.mark.tvm
@pytest.mark.parametrize("name", PROGRAMS)
def test_overlapping_tiles_compute_the_same(name):
    make, covers = PROGRAMS[name]
    func = make()
    check_same(func, overlap(lift(func), covers))


@pytest.mark.tvm
def test_sums_are_made_apart_and_an_epilogue_writes_the_result():
    plain, fused = (
        block_names(overlap(lift(matmul(8, 24, 4, epilogue=e)), {1: Cover(24, 2, 16)})) for e in (False, True)
    )
    assert plain == ["matmul", "matmul_result"]
    assert fused == ["matmul", "biased"]


@pytest.mark.tvm
def test_a_cover_must_fit_its_axis():
    with pytest.raises(ValueError, match="a cover of 9 elements does not fit axis j of 24"):
        overlap(lift(matmul(8, 24, 4)), {1: Cover(9, 2, 6)})


@pytest.mark.tvm
def test_odd_extents_are_covered_and_short_lanes_padded():
    def names(func):
        return [r.name for r in alternatives(func) if not r.name.startswith("split")]

    assert names(matmul(127, 509, 13)) == ["overlap-i.2x64-j.2x256"]
    assert names(matmul(128, 512, 13)) == []
    assert names(matmul(128, 12, 13)) == ["pad-j.16"]
    assert names(matmul(128, 3, 13)) == []
    assert "rows-i.2x16" in names(conv_nhwc((1, 7, 7, 8), 24, 1)) or "rows-f.2x16" in names(
        conv_nhwc((1, 7, 7, 8), 24, 1)
    )
