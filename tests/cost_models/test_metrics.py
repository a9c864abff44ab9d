"""Figures of a ranking: known values and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cost_models.metrics import best_of_top, pairwise_accuracy, recall_at, spearman, summary

pytestmark = pytest.mark.pure

ROWS = st.integers(2, 30).flatmap(
    lambda size: st.tuples(
        hnp.arrays(float, size, elements=st.floats(-100, 100, width=16)),
        hnp.arrays(float, size, elements=st.one_of(st.just(np.nan), st.floats(0.125, 100, width=16))),
    )
)


@given(ROWS)
def test_figures_stay_in_range(rows):
    scores, seconds = rows
    assert 0 <= pairwise_accuracy(scores, seconds) <= 1
    assert 0 <= recall_at(scores, seconds, 5) <= 1
    assert 0 <= best_of_top(scores, seconds, 5) <= 1
    assert -1.000001 <= spearman(scores, np.nan_to_num(seconds, nan=1e9)) <= 1.000001


@given(ROWS)
def test_reversing_the_scores_reverses_the_figures(rows):
    scores, seconds = rows
    assert pairwise_accuracy(-scores, seconds) == pytest.approx(1 - pairwise_accuracy(scores, seconds))
    finite = np.nan_to_num(seconds, nan=1e9)
    assert spearman(-scores, finite) == pytest.approx(-spearman(scores, finite))


@given(ROWS)
def test_only_the_order_of_scores_counts(rows):
    scores, seconds = rows
    other = np.arctan(scores / 100) * 3 + 7
    if len(np.unique(other)) == len(np.unique(scores)):
        assert pairwise_accuracy(other, seconds) == pairwise_accuracy(scores, seconds)
        assert best_of_top(other, seconds, 3) == best_of_top(scores, seconds, 3)


@given(ROWS, st.integers(1, 29))
def test_measuring_more_never_finds_less(rows, count):
    scores, seconds = rows
    assert best_of_top(scores, seconds, count + 1) >= best_of_top(scores, seconds, count)
    assert best_of_top(scores, seconds, len(scores)) == (0.0 if np.isnan(seconds).all() else 1.0)
    assert recall_at(scores, seconds, len(scores)) == 1.0


@given(hnp.arrays(float, st.integers(2, 30), elements=st.floats(0.1, 100), unique=True))
def test_the_truth_scores_full_marks(seconds):
    assert pairwise_accuracy(1 / seconds, seconds) == 1.0 or len(np.unique(1 / seconds)) < len(seconds)
    assert recall_at(-seconds, seconds, 5) == 1.0
    assert best_of_top(-seconds, seconds, 1) == 1.0
    assert spearman(-seconds, seconds) == pytest.approx(1.0)


def test_values_counted_by_hand():
    scores, seconds = [4.0, 3.0, 2.0, 1.0], [2.0, 1.0, 3.0, np.nan]
    assert pairwise_accuracy(scores, seconds) == 5 / 6
    assert recall_at(scores, seconds, 1) == 0.0
    assert recall_at(scores, seconds, 2) == 1.0
    assert best_of_top(scores, seconds, 1) == 0.5
    assert spearman(scores, [*seconds[:3], 4.0]) == pytest.approx(0.8)
    assert pairwise_accuracy([1, 1], [1.0, 2.0]) == 0.5


def test_summary_averages_tasks():
    scores = np.array([2.0, 1.0, 1.0, 2.0, 5.0])
    seconds = np.array([1.0, 2.0, 1.0, 2.0, 1.0])
    figures = summary(scores, seconds, np.array([0, 0, 1, 1, 2]))
    assert figures["pairwise_accuracy"] == 0.5
    assert figures["tasks"] == 2


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"scores \(2,\) and seconds \(3,\)"):
        pairwise_accuracy([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="count=0"):
        recall_at([1.0], [1.0], 0)
    with pytest.raises(ValueError, match="no task has two"):
        summary(np.ones(2), np.ones(2), np.array([0, 1]))
