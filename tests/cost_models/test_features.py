"""The feature matrix: shape, independence of the batch, documentation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import Machine, convolution, copy_stage, matmul, rows_of

from cost_models.analytic import draft_seconds
from cost_models.features import COLUMNS, extract, extract_with_draft
from cost_models.features.columns import COLUMN_INDEX, column_table
from search_space.nest import ProgramNests

pytestmark = pytest.mark.pure

MACHINE = Machine()


def populations(rng, size):
    yield "matmul", matmul(rng, size, 48, 80, 36)
    yield "rows", matmul(rng, size, 32, 32, 8, layout="rows")
    yield "convolution", convolution(rng, size, 6, 8, 3, 2)
    yield (
        "copy",
        ProgramNests((copy_stage("pad", "X", "Y", (7, 5), size),), np.zeros(size), 0.0, np.ones(size)),
    )


@pytest.mark.parametrize("which", range(4))
def test_features_are_finite_and_of_fixed_width(which):
    name, nests = list(populations(np.random.default_rng(0), 64))[which]
    features, seconds = extract_with_draft(nests, MACHINE)
    assert features.shape == (64, len(COLUMNS)), name
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert np.isfinite(features).all()
    assert (seconds > 0).all()
    np.testing.assert_array_equal(seconds, draft_seconds(nests, MACHINE))


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), size=st.integers(2, 9))
def test_features_of_a_batch_equal_features_one_by_one(seed, size):
    for name, nests in populations(np.random.default_rng(seed), size):
        batch, seconds = extract_with_draft(nests, MACHINE)
        for row in range(size):
            one, second = extract_with_draft(rows_of(nests, np.array([row])), MACHINE)
            np.testing.assert_allclose(one[0], batch[row], rtol=1e-5, atol=1e-5, err_msg=name)
            np.testing.assert_allclose(second[0], seconds[row], rtol=1e-5)


def test_candidates_that_differ_in_main_stage_or_order_of_inputs_do_not_disturb_each_other():
    nests = matmul(np.random.default_rng(1), 8, 16, 16, 16)
    pack, compute, epilogue = nests.stages
    # Every other candidate runs the epilogue so often that it is the main stage, and pads one input.
    busy = np.where(np.arange(8) % 2 == 0, 1.0, 1e6)
    padded = np.tile(compute.accesses[2].shape, (8, 1))
    padded[:, 0] += np.arange(8) % 3
    accesses = (*compute.accesses[:2], replace(compute.accesses[2], shape=padded))
    mixed = replace(
        nests, stages=(pack, replace(compute, accesses=accesses), replace(epilogue, executions=busy))
    )
    batch, _ = extract_with_draft(mixed, MACHINE)
    assert len(np.unique(batch[:, COLUMN_INDEX["main_executions"]])) == 2
    for row in range(8):
        one = extract(rows_of(mixed, np.array([row])), MACHINE)
        np.testing.assert_allclose(one[0], batch[row], rtol=1e-5, atol=1e-5)


def test_coefficients_that_do_not_depend_on_the_candidate_may_be_broadcast():
    nest = copy_stage("pad", "X", "Y", (12, 32), 4)
    full = tuple(
        replace(
            access,
            coefficients=np.repeat(access.coefficients, 4, axis=0),
            shape=np.repeat(access.shape, 4, axis=0),
        )
        for access in nest.accesses
    )
    pair = [
        extract(ProgramNests((stage,), np.zeros(4), 0.0, np.ones(4)), MACHINE)
        for stage in (nest, replace(nest, accesses=full))
    ]
    np.testing.assert_allclose(*pair, rtol=1e-6)


def test_column_values_of_a_known_program():
    nests = matmul(np.random.default_rng(2), 5, 32, 64, 16)
    features = extract(nests, MACHINE)

    def column(name):
        values = features[:, COLUMN_INDEX[name]]
        return np.exp2(values) - 1 if COLUMNS[COLUMN_INDEX[name]].is_log else values

    np.testing.assert_allclose(column("main_flops"), 2 * 32 * 64 * 16, rtol=1e-4)
    np.testing.assert_allclose(column("main_padding_waste"), 1, rtol=1e-4)
    np.testing.assert_allclose(column("output_bytes"), 4 * 32 * 64, rtol=1e-4)
    np.testing.assert_allclose(column("input0_bytes"), 4 * 16 * 64, rtol=1e-4)
    np.testing.assert_allclose(column("input1_bytes"), 4 * 32 * 16, rtol=1e-4)
    np.testing.assert_allclose(column("input2_bytes"), 0)
    np.testing.assert_allclose(column("aux_pack"), 2 * 4 * 16 * 64, rtol=1e-4)
    np.testing.assert_allclose(column("parallel_regions"), 3, rtol=1e-4)
    np.testing.assert_allclose(column("aux_stages"), 2)


def test_more_shared_cache_never_means_more_traffic():
    nests = matmul(np.random.default_rng(3), 128, 96, 96, 96)
    features = extract(nests, MACHINE)
    places = [COLUMN_INDEX[f"intensity_{place}"] for place in range(4)]
    curve = features[:, places]
    assert (np.diff(curve, axis=1) >= -1e-4).mean() > 0.95


def test_columns_are_named_once_and_documented():
    assert len(COLUMN_INDEX) == len(COLUMNS)
    assert all(column.unit and column.meaning.endswith((".", "0 without.")) for column in COLUMNS)


def test_the_documented_table_is_current():
    text = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
    start, end = "<!-- columns -->\n", "<!-- end -->"
    table = text[text.index(start) + len(start) : text.index(end)]
    assert table.strip() == column_table().strip(), (
        "docs/features.md is stale: run python -m cost_models.features.document"
    )
