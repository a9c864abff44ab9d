"""What every cost model must do (cost_models/base.py), run over all of them."""

from pathlib import Path
from typing import Self

import numpy as np
import pytest

from cost_models.base import CostModel, Dataset, ModelError
from cost_models.boosters import TreeOptions, train_boosters
from cost_models.features.columns import COLUMNS
from cost_models.metrics import pairwise_accuracy
from cost_models.xgb_ranker import XGBRanker

pytestmark = pytest.mark.pure


class DraftOnly:
    """The smallest model: the draft, and failures by a table of rows seen."""

    def __init__(self) -> None:
        self.failed: dict[bytes, bool] = {}

    def fit(self, data: Dataset) -> Self:
        if not len(data):
            raise ValueError("fit: the data set is empty")
        self.failed = {r.tobytes(): not ok for r, ok in zip(data.features, data.succeeded, strict=True)}
        return self

    def predict(self, features, draft_seconds):
        penalty = [20.0 * self.failed.get(row.tobytes(), False) for row in features]
        return -np.log2(draft_seconds) - np.array(penalty)

    def save(self, path: Path) -> None:
        np.savez(
            path.open("wb"), keys=np.array([k.hex() for k in self.failed]), values=[*self.failed.values()]
        )

    def load(self, path: Path) -> Self:
        try:
            with np.load(path) as archive:
                pairs = zip(archive["keys"], archive["values"], strict=True)
                self.failed = {bytes.fromhex(str(key)): bool(value) for key, value in pairs}
        except Exception as error:
            raise ModelError(f"{path}: {error}") from error
        return self


def sample(seed: int, size: int = 240, failures: bool = False) -> Dataset:
    rng = np.random.default_rng(seed)
    features = rng.random((size, len(COLUMNS)), dtype=np.float32)
    draft = np.exp2(rng.normal(-12, 2, size))
    seconds = draft * np.exp2(3 * features[:, 0] - 2 * features[:, 1] + rng.normal(0, 0.05, size))
    if failures:
        seconds = np.where(features[:, 2] > 0.7, np.nan, seconds)
    return Dataset(features, draft, seconds, rng.integers(0, 3, size))


def with_prior() -> XGBRanker:
    data = sample(7)
    target = np.log2(data.draft_seconds / data.measured_seconds)
    return XGBRanker(3, prior=train_boosters(data.features, target, TreeOptions(folds=1), 0))


MODELS = {
    "draft": DraftOnly,
    "xgboost": lambda: XGBRanker(3),
    "xgboost on a prior": with_prior,
}
LEARNED = [name for name in MODELS if name.startswith("xgboost")]


@pytest.fixture(params=MODELS)
def model(request) -> CostModel:
    return MODELS[request.param]()


def test_predicts_before_it_is_fitted(model):
    data = sample(0)
    scores = model.predict(data.features, data.draft_seconds)
    assert scores.shape == (len(data),)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("rows", [1, 2, 5, 40])
def test_fits_any_number_of_rows_and_returns_itself(model, rows):
    data = sample(1).take(np.arange(rows))
    assert model.fit(data) is model
    assert np.isfinite(model.predict(data.features, data.draft_seconds)).all()


def test_an_empty_data_set_is_refused(model):
    with pytest.raises(ValueError, match="empty"):
        model.fit(sample(0).take(np.arange(0)))


def test_no_candidates_no_scores(model):
    data = sample(2)
    for _ in range(2):
        scores = model.predict(data.features[:0], data.draft_seconds[:0])
        assert scores.shape == (0,)
        model.fit(data)


def test_failures_only(model):
    data = sample(3)
    failed = Dataset(data.features, data.draft_seconds, np.full(len(data), np.nan), data.groups)
    assert np.isfinite(model.fit(failed).predict(data.features, data.draft_seconds)).all()


@pytest.mark.parametrize("name", MODELS)
def test_failures_score_below_what_ran(name):
    data = sample(4, failures=True)
    scores = MODELS[name]().fit(data).predict(data.features, np.full(len(data), 1e-3))
    ran = data.succeeded
    assert np.median(scores[~ran]) < np.quantile(scores[ran], 0.1)


@pytest.mark.parametrize("name", MODELS)
def test_a_score_depends_on_the_row_alone(name):
    data, model = sample(5, failures=True), MODELS[name]()
    for _ in range(2):
        batch = model.predict(data.features, data.draft_seconds)
        single = [model.predict(data.features[i : i + 1], data.draft_seconds[i : i + 1])[0] for i in range(9)]
        np.testing.assert_allclose(batch[:9], single, rtol=1e-6)
        model.fit(data)


def test_the_same_seed_and_data_give_the_same_scores(model, request):
    data, other = sample(6, failures=True), MODELS[request.node.callspec.params["model"]]()
    for _ in range(2):
        first = model.fit(data).predict(data.features, data.draft_seconds)
        np.testing.assert_array_equal(first, other.fit(data).predict(data.features, data.draft_seconds))


@pytest.mark.parametrize("name", MODELS)
def test_fit_forgets_what_it_was_fitted_to_before(name):
    data, other = sample(8), sample(9, failures=True)
    twice = MODELS[name]().fit(other).fit(data)
    once = MODELS[name]().fit(data)
    np.testing.assert_array_equal(
        twice.predict(other.features, other.draft_seconds), once.predict(other.features, other.draft_seconds)
    )


def test_fit_leaves_its_arguments_alone(model):
    data = sample(10, failures=True)
    copy = sample(10, failures=True)
    model.fit(data)
    model.predict(data.features, data.draft_seconds)
    for name in ("features", "draft_seconds", "measured_seconds", "groups"):
        np.testing.assert_array_equal(getattr(data, name), getattr(copy, name))


def test_nothing_is_printed(model, capfd):
    data = sample(11, failures=True)
    model.fit(data).predict(data.features, data.draft_seconds)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_scores_the_same(name, tmp_path):
    data, path = sample(12, failures=True), tmp_path / "model"
    model = MODELS[name]().fit(data)
    model.save(path)
    loaded = MODELS[name]().load(path)
    np.testing.assert_array_equal(
        loaded.predict(data.features, data.draft_seconds), model.predict(data.features, data.draft_seconds)
    )


def test_a_damaged_file_is_refused(model, tmp_path):
    path = tmp_path / "model"
    model.fit(sample(13)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match="model"):
        model.load(path)
    with pytest.raises(ModelError):
        model.load(tmp_path / "absent")


@pytest.mark.parametrize("name", LEARNED)
def test_another_feature_version_is_refused(name, tmp_path, monkeypatch):
    path, model = tmp_path / "model", MODELS[name]().fit(sample(14))
    monkeypatch.setattr("cost_models.boosters.FEATURE_VERSION", 999)
    model.save(path)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="feature version 999"):
        model.load(path)


@pytest.mark.parametrize("name", LEARNED)
def test_learning_beats_the_draft(name):
    train, check = sample(15), sample(16)
    scores = MODELS[name]().fit(train).predict(check.features, check.draft_seconds)
    learned = pairwise_accuracy(scores, check.measured_seconds)
    assert learned > pairwise_accuracy(-check.draft_seconds, check.measured_seconds) + 0.02
    assert learned > 0.9
