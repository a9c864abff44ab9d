"""Kernel regression on one task's rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from landscape import MACHINE, dataset

from cost_models.kernel_residual import KernelResidual
from cost_models.metrics import pairwise_accuracy
from cost_models.predictor import Predictor
from cost_models.xgb_ranker import XGBRanker

pytestmark = pytest.mark.pure


def rows(seed, size=60):
    rng = np.random.default_rng(seed)
    features = rng.normal(0, [1, 5, 100, 0], (size, 4)).astype(np.float32)
    return features, features[:, 0] + np.abs(features[:, 1]) / 5 - 1.0


@given(seed=st.integers(0, 1000))
def test_a_smooth_residual_is_found_whatever_the_units(seed):
    features, targets = rows(seed, 120)
    found = KernelResidual(features[:80], targets[:80]).predict(features[80:])
    assert np.corrcoef(found, targets[80:])[0, 1] > 0.6
    scaled = features * np.float32([3, 0.1, 7, 1]) + np.float32(2)
    again = KernelResidual(scaled[:80], targets[:80]).predict(scaled[80:])
    np.testing.assert_allclose(again, found, atol=1e-3)


def test_nothing_is_claimed_of_what_is_far():
    features, targets = rows(0)
    far = np.full((3, 4), 1e6, np.float32)
    far[:, 0] *= np.float32([1, -1, 1])
    assert (np.abs(KernelResidual(features, targets).predict(far)) < 0.2).all()


def test_a_row_or_equal_rows_are_enough():
    for count in (1, 3):
        one = KernelResidual(np.ones((count, 4), np.float32), np.zeros(count))
        np.testing.assert_array_equal(one.predict(np.ones((2, 4), np.float32)), 0.0)


def test_a_predictor_uses_that_of_the_task_that_is_asked_for():
    data, check = dataset(2, 48, chosen=(0, 6)), dataset(3, 64, chosen=(0,))
    predictor = Predictor(MACHINE, 0, weights=None)
    for group in (0, 6):
        own = data.take(data.groups == group)
        predictor.observe(group, own.features, own.draft_seconds, own.measured_seconds)
    predictor.refit()
    own = data.take(data.groups == 0)
    trees = XGBRanker(0).fit(data)
    near = trees.near(own)
    expected, _ = trees.predict_with_spread(check.features, check.draft_seconds, near)
    found = -np.log2(predictor.predict(check.features, check.draft_seconds, 0).seconds)
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-6)
    other = -np.log2(predictor.predict(check.features, check.draft_seconds, 6).seconds)
    assert np.abs(other - other.mean() - expected + expected.mean()).max() > 0.01
    draft = pairwise_accuracy(-check.draft_seconds, check.measured_seconds)
    assert pairwise_accuracy(expected, check.measured_seconds) > draft
