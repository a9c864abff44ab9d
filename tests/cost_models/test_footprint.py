"""Closed formulae against enumeration."""

import enumeration
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import Machine, convolution, matmul

from cost_models.analysis.footprint import region_below
from cost_models.analysis.loops import loops_of
from cost_models.analysis.stage import stage_of
from cost_models.analysis.traffic import at_cuts, cuts_of
from search_space.nest import Access, LoopNest

pytestmark = pytest.mark.pure

MACHINE = Machine()


def value(rows, index, row):
    entry = rows[index]
    return float(entry) if isinstance(entry, float) else float(entry[row])


def cuts(stage):
    """Return each cut between loops that iterate, and where it is among all loops."""
    return list(enumerate((*stage.loops.places, 99)))


def check_elements(nest, row, exact=True):
    stage = stage_of(nest, loops_of(nest), MACHINE)
    for access, footprint in zip(nest.accesses, stage.footprints, strict=True):
        for cut, place in cuts(stage):
            truth = enumeration.touched(access, nest.extents, row, place)
            elements = value(footprint.elements, cut, row)
            if exact:
                assert elements == len(truth), (access.name, cut)
            else:
                assert elements >= len(truth), (access.name, cut)


@pytest.mark.parametrize("layout", ["strided", "rows"])
def test_matmul_elements_are_exact(layout):
    nest = matmul(np.random.default_rng(0), 6, 8, 12, 6, layout=layout, auxiliary=False).stages[0]
    for row in range(6):
        check_elements(nest, row)


def test_convolution_elements_are_exact_for_unit_stride():
    nest = convolution(np.random.default_rng(1), 3, extent=4, channels=4, kernel=2).stages[0]
    for row in range(3):
        check_elements(nest, row)


def test_strided_convolution_counts_at_least_what_is_touched():
    nest = convolution(np.random.default_rng(2), 2, extent=4, channels=2, kernel=2, stride=3).stages[0]
    for row in range(2):
        check_elements(nest, row, exact=False)


def test_lines_of_aligned_tiles_are_exact():
    nest = matmul(np.random.default_rng(3), 8, 4, 64, 32, auxiliary=False).stages[0]
    stage = stage_of(nest, loops_of(nest), MACHINE)
    for row in range(8):
        for access, footprint in zip(nest.accesses, stage.footprints, strict=True):
            for cut, place in cuts(stage):
                truth = enumeration.lines(enumeration.touched(access, nest.extents, row, place), 4)
                assert value(footprint.lines, cut, row) == len(truth), (access.name, cut)


def single(extents, shape, coefficients, name="X"):
    extents = np.array([extents], float)
    depth = extents.shape[1]
    none = np.zeros((1, depth), bool)
    access = Access(name, 4, False, False, np.array([shape], float), np.array([coefficients], float))
    return LoopNest(
        "compute", extents, np.zeros(depth, np.int8), none, none, none, (access,), 2.0, 0.0,
        np.ones(1), np.zeros(1), np.zeros(1),
    )  # fmt: skip


def analysed(extents, shape, coefficients):
    nest = single(extents, shape, coefficients)
    return stage_of(nest, loops_of(nest), MACHINE)


def test_small_rows_that_lie_next_to_each_other_share_lines():
    # 7 x 3 floats, covered whole: 84 bytes, not 7 lines.
    stage = analysed([7, 3], [7, 3], [[1, 0], [0, 1]])
    assert value(stage.footprints[0].lines, 0, 0) == 2


def test_a_stride_of_a_line_costs_a_line_each():
    stage = analysed([8], [128], [[16]])
    assert value(stage.footprints[0].elements, 0, 0) == 8
    assert value(stage.footprints[0].lines, 0, 0) == 8


@settings(max_examples=60)
@given(st.data())
def test_any_affine_access_is_bounded_and_monotone(data):
    depth = data.draw(st.integers(1, 4))
    extents = data.draw(st.lists(st.integers(1, 4), min_size=depth, max_size=depth))
    dims = data.draw(st.integers(1, 3))
    table = [data.draw(st.lists(st.integers(0, 3), min_size=depth, max_size=depth)) for _ in range(dims)]
    shape = [1 + sum(c * (e - 1) for c, e in zip(row, extents, strict=True)) for row in table]
    nest = single(extents, shape, table)
    stage = stage_of(nest, loops_of(nest), MACHINE)
    previous = np.inf
    for cut, place in cuts(stage):
        truth = enumeration.touched(nest.accesses[0], nest.extents, 0, place)
        elements = value(stage.footprints[0].elements, cut, 0)
        lines = value(stage.footprints[0].lines, cut, 0)
        assert elements >= len(truth) or any(
            sum(c > 0 for c in column) > 1 for column in zip(*table, strict=True)
        )
        assert elements <= np.prod(shape)
        assert 1 <= lines <= elements
        assert lines <= previous
        previous = lines
        below = np.where(np.arange(stage.loops.depth)[:, None] >= cut, stage.loops.extents, np.float32(1.0))
        region = region_below(stage.buffers[0], stage.loops, below, 64)
        assert region.elements[0] == elements
        assert region.lines[0] == lines
        assert 1 <= region.run[0] <= elements


def test_traffic_is_near_that_of_a_simulated_cache():
    nest = matmul(np.random.default_rng(5), 16, 16, 32, 16, auxiliary=False).stages[0]
    stage = stage_of(nest, loops_of(nest), MACHINE)
    predicted, simulated = [], []
    for capacity_lines in (10, 16, 32, 48):
        cuts = cuts_of(stage.traffic.working_set, np.array([capacity_lines * 64], np.float32))
        predicted.append(sum(at_cuts(rows, cuts)[0] for rows in stage.traffic.per_buffer))
        # Streamed lines need room besides the tile that is used again.
        room = capacity_lines * 11 // 10
        simulated.append(
            [enumeration.misses(nest.accesses, nest.extents, row, room) for row in range(nest.size)]
        )
    predicted, simulated = np.log(np.array(predicted)).ravel(), np.log(np.array(simulated)).ravel()
    assert np.abs(predicted - simulated).mean() < 0.2
    assert np.corrcoef(predicted, simulated)[0, 1] > 0.97


def test_everything_in_cache_is_loaded_once():
    nest = matmul(np.random.default_rng(6), 4, 16, 32, 16, auxiliary=False).stages[0]
    stage = stage_of(nest, loops_of(nest), MACHINE)
    cuts = cuts_of(stage.traffic.working_set, np.array([1 << 20], np.float32))
    assert (cuts == 0).all()
    # C is fetched and written back; A and B are read: 16 * 32, 16 * 16 and 16 * 32 floats.
    assert (at_cuts(stage.traffic.moved, cuts)[0] == 4 * (2 * 512 + 256 + 512)).all()
