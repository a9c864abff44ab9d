"""Buffers that are alive together do not overlap, and memory is shared where they are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.graph.arena import Lifetime, place

pytestmark = pytest.mark.pure

LIFETIMES = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(0, 5000),
    st.integers(0, 12),
    st.integers(0, 6),
)


@given(st.lists(LIFETIMES, max_size=12))
def test_what_is_alive_together_does_not_overlap(buffers):
    offsets, total = place(buffers)
    assert all(
        offset % 64 == 0 and offset + b.size_bytes <= total
        for offset, b in zip(offsets, buffers, strict=True)
    )
    for i, (one, at) in enumerate(zip(buffers, offsets, strict=True)):
        for other, beside in zip(buffers[:i], offsets, strict=False):
            if one.first <= other.last and other.first <= one.last:
                assert at + one.size_bytes <= beside or beside + other.size_bytes <= at


def test_a_chain_needs_its_two_largest_neighbours():
    chain = [Lifetime(size, step, step + 1) for step, size in enumerate((640, 1280, 6400, 640, 640))]
    assert place(chain)[1] == 1280 + 6400
