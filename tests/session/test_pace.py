"""Batches that leave every task its share, and forecasts of time and gain."""

import numpy as np
import pytest

from tuner.pace import TRIAL_SECONDS, Pace, gain_of
from tuner.scheduler import TaskCurve

pytestmark = pytest.mark.pure


def pace(trials=None, seconds=None, spent=0, measured=0, elapsed=0.0) -> Pace:
    return Pace(trials, seconds, spent, measured, elapsed)


def test_every_task_gets_a_share_of_few_trials():
    assert [pace(trials=6).batch(16, fresh) for fresh in (1, 2, 3, 6, 9)] == [6, 3, 2, 1, 1]
    assert pace(trials=100, spent=97).batch(16, 0) == 3


def test_every_task_gets_a_share_of_little_time():
    assert pace(seconds=1000.0).batch(16, 10) == 16
    assert pace(seconds=20 * TRIAL_SECONDS).batch(16, 10) == 2
    assert pace(seconds=10.0, measured=20, elapsed=8.0).batch(16, 0) == 5
    assert pace(seconds=10.0, measured=20, elapsed=11.0).batch(16, 4) == 1


def test_without_a_budget_batches_are_whole():
    assert pace().batch(16, 3) == 16
    assert pace().remaining_seconds is None


def test_the_rest_takes_as_long_as_the_trials_so_far():
    assert pace(trials=100, spent=60, measured=20, elapsed=10.0).remaining_seconds == pytest.approx(20.0)
    assert pace(seconds=50.0, spent=20, measured=20, elapsed=10.0).remaining_seconds == pytest.approx(40.0)
    assert pace(trials=100, spent=60).remaining_seconds is None


def curve(best, calls=1.0, exhausted=False) -> TaskCurve:
    return TaskCurve(1e9, (calls,), "a", list(best), exhausted)


def test_what_gained_nothing_lately_is_not_expected_to_gain():
    assert gain_of([curve([1.0, 0.5, 0.5, 0.5, 0.5])], 2.0) == 0.0
    assert gain_of([curve([1.0])], 2.0) is None
    assert gain_of([curve([float("inf")])], 2.0) is None
    assert gain_of([curve([1.0, 0.5], exhausted=True)], 2.0) == 0.0


def test_the_forecast_of_random_draws_comes_true():
    """The best of k random draws: what the next k bring is forecast within a factor of two on average."""
    rng = np.random.default_rng(0)
    forecast, truth = [], []
    for _ in range(300):
        best = np.minimum.accumulate(np.exp(rng.exponential(0.3, 24)))
        expected = gain_of([curve(best[:12])], 2.0)
        assert expected is not None and 0 <= expected < 1
        forecast.append(expected)
        truth.append(1 - best[23] / best[11])
    assert 0.5 < np.mean(forecast) / np.mean(truth) < 2.0


def test_heavy_tasks_weigh_more():
    improving, done = curve([1.0, 0.8, 0.7], calls=10), curve([1.0, 0.5, 0.5, 0.5, 0.5])
    light = gain_of([curve(improving.best), curve(done.best, calls=10)], 2.0)
    assert gain_of([improving, done], 2.0) > 2 * light
