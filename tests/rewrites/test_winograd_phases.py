"""Winograd on the phases of transposed convolutions, from both forms in which they are written."""

import pytest
from checking import block_names, check_same
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import conv_nhwc, transposed_nhwc

from search_space.rewrites import alternatives
from search_space.rewrites.program import NotLiftable, lift
from search_space.rewrites.winograd_phases import winograd_phases
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


def operator(height, width, channels, filters, kernel, stride, padding):
    numbers = (1, height, width, channels, filters, kernel, stride, padding)
    return named_workload(f"t2d:{','.join(map(str, numbers))}").func


def rewritten(func, edge):
    return winograd_phases(lift(func, joins_phases=True), edge)


CASES = {
    "phases written out": lambda: operator(6, 7, 16, 18, 4, 2, 1),
    "three phases": lambda: operator(5, 6, 16, 16, 6, 3, 0),
    "a kernel of odd length": lambda: operator(8, 8, 16, 16, 3, 2, 1),
    "zeros inserted": lambda: transposed_nhwc((1, 6, 7, 16), 18, 4, 2, 1),
    "zeros inserted, batch and epilogue": lambda: transposed_nhwc((2, 5, 6, 17), 16, 4, 2, 1, epilogue=True),
}


@pytest.mark.parametrize("edge", [2, 4])
@pytest.mark.parametrize("name", CASES)
def test_same_result(name, edge):
    func = CASES[name]()
    rewrite = rewritten(func, edge)
    if rewrite is None:
        assert name == "a kernel of odd length"  # 15 x 15 results are no whole number of phases
        return
    check_same(func, rewrite.func, rtol=1e-4, atol=4e-6 * rewrite.tolerance_scale)


@settings(max_examples=8, deadline=None)
@given(
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    stride=st.sampled_from([2, 3]),
    padding=st.integers(0, 1),
    edge=st.sampled_from([2, 4]),
    is_spread=st.booleans(),
)
def test_same_result_for_any_size(size, stride, padding, edge, is_spread):
    kernel = 2 * stride
    # What padding takes away, a stride must divide, else no phase is whole.
    padding = padding if stride == 2 else 0
    func = (
        transposed_nhwc((1, *size, 16), 16, kernel, stride, padding)
        if is_spread
        else operator(*size, 16, 16, kernel, stride, padding)
    )
    rewrite = rewritten(func, edge)
    if rewrite is None:  # tiles of four may hang over so far that they save nothing
        assert edge == 4 and min(size) < 6
        return
    check_same(func, rewrite.func, rtol=1e-4, atol=4e-6 * rewrite.tolerance_scale)


def test_the_stages_and_who_gets_them():
    func = operator(8, 8, 32, 32, 4, 2, 1)
    assert block_names(rewritten(func, 2).func) == [
        "phases_pad",
        "phases_tiles",
        "phases_kernel",
        "phases",
        "phases_inverse",
    ]
    assert {r.name for r in alternatives(func)} == {"winograd2.phases", "winograd4.phases"}
    names = {r.name for r in alternatives(transposed_nhwc((1, 8, 8, 32), 32, 4, 2, 1))}
    assert names == {"phases", "winograd2.phases", "winograd4.phases"}
    assert not alternatives(operator(8, 8, 32, 3, 4, 2, 1))  # too few columns
    assert "winograd4.phases" not in {r.name for r in alternatives(operator(4, 4, 32, 32, 4, 2, 1))}


def test_joined_phases_are_asked_for():
    func = operator(4, 4, 16, 16, 4, 2, 1)
    with pytest.raises(NotLiftable):
        lift(func)
    stage = lift(func, joins_phases=True).anchor()
    assert [a.extent for a in stage.axes] == [1, 8, 8, 16]


@pytest.mark.parametrize("stride", [1, 2])
def test_other_convolutions_are_left_alone(stride):
    assert rewritten(conv_nhwc((1, 9, 9, 16), 16, 4, stride, padding=1), 2) is None
