"""Accumulators and instructions of tiles that can be counted by hand."""

import numpy as np
import pytest
from nests import MATMUL_LOOPS, Machine, coefficients, flags, matmul

from cost_models.analysis.loops import loops_of
from cost_models.analysis.stage import stage_of
from search_space.nest import Access, LoopKind, LoopNest

pytestmark = pytest.mark.pure


def tile(i3, j3, k1=4, unroll=("i3",), vectorise=("j3",)):
    """Return the register tile of an outer-product nest with an i3 x j3 block."""
    order = MATMUL_LOOPS
    sizes = {"i3": i3, "j3": j3, "k1": k1, "i0": 2, "k0": 2, "j0": 2}
    extents = np.array([[sizes.get(name, 1) for name in order]], float)
    steps = np.ones((1, len(order)))
    for name, step in (("i0", i3), ("j0", j3), ("k0", k1)):
        steps[0, order.index(name)] = step
    shape = {"i": 2 * i3, "j": 2 * j3, "k": 2 * k1}

    def access(name, axes, write=False):
        dims = [{axis: 1} for axis in axes]
        extent = np.array([[shape[axis] for axis in axes]], float)
        return Access(name, 4, write, False, extent, coefficients(order, steps, dims))

    kinds = np.array([LoopKind.REDUCTION if n[0] == "k" else LoopKind.SPATIAL for n in order], np.int8)
    nest = LoopNest(
        "compute", extents, kinds, flags(order, 1, ()), flags(order, 1, unroll), flags(order, 1, vectorise),
        (access("C", "ij", True), access("A", "ik"), access("B", "kj")),
        2.0, 0.0, np.ones(1), np.zeros(1), np.zeros(1),
    )  # fmt: skip
    return stage_of(nest, loops_of(nest), Machine()).tile


def test_six_by_sixty_four_block_holds_24_accumulators():
    block = tile(6, 64)
    assert block.accumulators[0] == 24
    assert block.multiply_adds[0] == 24
    assert block.loads[0] == 6 + 4
    assert block.row_vectors[0] == 4
    assert block.stores[0] == 0
    assert block.in_registers[0] == 1
    assert block.lane_fraction[0] == 1
    assert [float(s[0]) for s in block.strides] == [1, 0, 1]


def test_narrow_vectors_waste_lanes():
    block = tile(4, 7)
    assert block.lane_fraction[0] == np.float32(7 / 16)
    assert block.accumulators[0] == pytest.approx(4)


def test_a_loop_that_branches_inside_the_reduction_keeps_results_in_memory():
    block = tile(4, 16, unroll=())
    assert block.in_registers[0] == 0
    assert block.stores[0] == 1
    assert block.loads[0] == 3


def test_unrolling_the_reduction_keeps_the_accumulators():
    block = tile(4, 32, unroll=("k1", "i3"))
    assert block.accumulators[0] == 8
    assert block.reduction_unroll[0] == 4
    assert block.straight_line[0] == 4 * 4 * 2


def test_vector_loop_over_columns_of_a_row_major_matrix_is_strided():
    block = tile(16, 4, unroll=("j3",), vectorise=("i3",))
    assert [float(s[0]) for s in block.strides] == [8, 8, 0]
    # Each lane of C and of A is an instruction of its own.
    assert block.loads[0] == 16 + 4
    assert block.accumulators[0] == 64


def test_every_tile_is_finite_and_positive():
    nest = matmul(np.random.default_rng(0), 256, 48, 80, 36).stages[1]
    block = stage_of(nest, loops_of(nest), Machine()).tile
    for name in (
        "lanes",
        "vectors",
        "accumulators",
        "iterations",
        "multiply_adds",
        "straight_line",
        "branches",
    ):
        assert (getattr(block, name) > 0).all(), name
    assert (block.lane_fraction <= 1).all()
