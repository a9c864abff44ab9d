"""The predictor: before, during and after a run."""

import numpy as np
import pytest
from landscape import MACHINE, dataset

from cost_models.metrics import pairwise_accuracy
from cost_models.predictor import Predictor

pytestmark = pytest.mark.pure


def feed(predictor, data):
    for group in np.unique(data.groups):
        rows = data.groups == group
        predictor.observe(
            int(group), data.features[rows], data.draft_seconds[rows], data.measured_seconds[rows]
        )
    return predictor


def test_without_data_the_draft_ranks():
    data = dataset(0, 40, chosen=(0,))
    predictor = Predictor(MACHINE, 0, weights=None)
    assert predictor.data is None
    prediction = predictor.refit().predict(data.features, data.draft_seconds)
    np.testing.assert_allclose(prediction.seconds, data.draft_seconds)
    assert (prediction.spread > 0).all()
    assert predictor.reason.startswith("draft model")


def test_observing_does_not_change_predictions_before_refit():
    data = dataset(1, 60, chosen=(0, 1))
    predictor = Predictor(MACHINE, 0, weights=None)
    before = predictor.predict(data.features, data.draft_seconds).seconds
    feed(predictor, data)
    np.testing.assert_array_equal(predictor.predict(data.features, data.draft_seconds).seconds, before)
    predictor.refit()
    assert (predictor.predict(data.features, data.draft_seconds).seconds != before).any()
    assert len(predictor.data) == len(data)


def test_run_data_gives_order_level_and_doubt():
    train, check = dataset(2, 64, chosen=(0, 6)), dataset(3, 64, chosen=(0, 6))
    predictor = feed(Predictor(MACHINE, 0, weights=None), train).refit()
    for group in (0, 6):
        rows = check.groups == group
        truth, draft = check.measured_seconds[rows], check.draft_seconds[rows]
        prediction = predictor.predict(check.features[rows], draft, group)
        assert pairwise_accuracy(-prediction.seconds, truth) > pairwise_accuracy(-draft, truth)
        assert abs(np.median(np.log2(prediction.seconds / truth))) < 0.2
        assert (prediction.spread >= 0).all()
        assert prediction.spread.max() > 0


def test_failures_are_predicted_slow():
    data = dataset(4, 120, chosen=(0, 1), failures=0.3)
    predictor = feed(Predictor(MACHINE, 0, weights=None), data).refit()
    seconds = predictor.predict(data.features, np.full(len(data), 1e-3)).seconds
    assert np.median(seconds[~data.succeeded]) > 10 * np.median(seconds[data.succeeded])


def test_the_same_seed_and_observations_give_the_same_predictions():
    data = dataset(5, 50, chosen=(0, 2))
    first, second = (feed(Predictor(MACHINE, 4, weights=None), data).refit() for _ in range(2))
    left, right = (p.predict(data.features, data.draft_seconds, 0) for p in (first, second))
    np.testing.assert_array_equal(left.seconds, right.seconds)
    np.testing.assert_array_equal(left.spread, right.spread)


def test_rows_can_be_limited():
    data = dataset(6, 50, chosen=(0,))
    few = feed(Predictor(MACHINE, 0, weights=None, row_limit=20), data).refit()
    assert np.isfinite(few.predict(data.features, data.draft_seconds, 0).seconds).all()
    assert len(few.data) == 50


def test_impossible_observations_are_refused():
    data = dataset(7, 10, chosen=(0,))
    predictor = Predictor(MACHINE, 0, weights=None)
    with pytest.raises(ValueError, match="measured_seconds: expected positive"):
        predictor.observe(0, data.features, data.draft_seconds, data.measured_seconds * 0)
    with pytest.raises(ValueError, match=r"draft_seconds: shape \(9,\)"):
        predictor.observe(0, data.features, data.draft_seconds[:9], data.measured_seconds)
    predictor.observe(0, data.features[:0], data.draft_seconds[:0], data.measured_seconds[:0])
    assert predictor.data is None
