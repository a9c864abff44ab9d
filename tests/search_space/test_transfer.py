"""Decisions carried from one workload to another stay as near as they can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.candidate import context_of
from search_space.decisions import choice, tile
from search_space.hardware import resolve_target
from search_space.transfer import carry, is_alike, nearest
from tuner.workloads import named_workload

EXTENTS = st.integers(min_value=1, max_value=256)


def sketch_of(spec):
    return next(iter(context_of(named_workload(spec), resolve_target(threads=2)).sketches.values()))


@pytest.mark.pure
@given(EXTENTS, st.data())
def test_the_nearest_value_of_the_same_slot_is_the_value(extent, data):
    slot = tile("t", extent, 4)
    index = data.draw(st.integers(0, slot.size - 1))
    assert nearest(slot.table[index], slot) == index


@pytest.mark.pure
@given(EXTENTS, st.integers(2, 6), st.data())
def test_a_multiple_of_the_extent_keeps_the_inner_parts(extent, factor, data):
    small, large = tile("t", extent, 4), tile("t", extent * factor, 4)
    values = small.table[data.draw(st.integers(0, small.size - 1))]
    found = large.table[nearest(values, large)]
    assert found.tolist() == [values[0] * factor, *values[1:]]


@pytest.mark.pure
def test_choices_go_to_the_nearest_number():
    assert nearest(np.array([3]), choice("c", (0, 1))) == 1


@pytest.mark.tvm
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("gmm:1,64,96,128", "gmm:1,64,96,128"),
        ("gmm:1,64,96,128", "gmm:1,128,192,128"),
        ("gmm:1,64,96,128", "gmm:1,127,61,40"),
        ("c2d:1,28,28,32,64,3,1,1", "c2d:1,14,14,64,128,3,1,1"),
    ],
)
def test_carried_rows_are_valid(source, target):
    here, there = sketch_of(source), sketch_of(target)
    assert is_alike(here.space, there.space)
    rows = here.sample(np.random.default_rng(0), 32)
    carried = [carry(here.space, row, there) for row in rows]
    found = np.array([row for row in carried if row is not None])
    assert len(found) > len(rows) // 2
    assert there.valid(found).all()
    if source == target:
        assert (found == rows).all()


@pytest.mark.tvm
def test_other_structures_exchange_nothing():
    assert not is_alike(sketch_of("gmm:1,64,96,128").space, sketch_of("c2d:1,14,14,16,32,3,1,1").space)
