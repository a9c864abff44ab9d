"""The training script on data of a pretend machine, and loading what it wrote."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from landscape import MACHINE, dataset

from cost_models.features.columns import COLUMNS, FEATURE_VERSION
from cost_models.predictor import Predictor
from cost_models.pretrained import load_pretrained
from scripts.train_pretrained import LEAST_IMPORTANCE, importance, main, read

pytestmark = pytest.mark.pure

OPERATORS = ["gmm", "gmm", "bmm", "bmm", "dense", "dense", "c2d", "c2d", "c1d", "dil"]


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.npz"
    data = dataset(0, 70, failures=0.05)
    np.savez(
        path,
        features=data.features,
        draft_seconds=data.draft_seconds,
        measured_seconds=data.measured_seconds,
        groups=data.groups,
        operators=np.array(OPERATORS),
        workloads=np.array([f"{name}:{index}" for index, name in enumerate(OPERATORS)]),
        feature_version=FEATURE_VERSION,
        columns=np.array([column.name for column in COLUMNS]),
        hardware=json.dumps(MACHINE.to_dict()),
    )
    return path


@pytest.fixture(scope="module")
def weights(data_file, tmp_path_factory):
    output = tmp_path_factory.mktemp("weights")
    result = CliRunner().invoke(main, [str(data_file), "--output", str(output), "--exclude", "dil"])
    assert result.exit_code == 0, result.output
    return output


def test_the_card_says_what_the_weights_know(weights):
    card = json.loads((weights / "card.json").read_text())
    assert card["feature_version"] == FEATURE_VERSION
    assert card["operators"] == ["bmm", "c1d", "c2d", "dense", "gmm"]
    assert card["excluded_operators"] == ["dil"]
    assert card["rows"] == 630
    assert card["failures"] > 0
    assert len(card["test_workloads"]) == 9
    mean = card["metrics"]["mean"]
    assert mean["new_operator"]["pairwise_accuracy"] > mean["draft"]["pairwise_accuracy"]
    assert mean["new_shape"]["pairwise_accuracy"] > mean["draft"]["pairwise_accuracy"]
    assert mean["run_new_shape"]["pairwise_accuracy"] >= mean["run"]["pairwise_accuracy"] - 0.01
    assert set(card["metrics"]) == {"bmm", "c1d", "c2d", "dense", "gmm", "mean"}


def test_weights_rank_what_was_not_measured_better_than_the_draft(weights):
    unseen = dataset(9, 60, chosen=(9,))
    predictor = Predictor(MACHINE, 0, weights=weights)
    assert predictor.reason == "pre-trained on test, applied to test"
    with_weights = predictor.predict(unseen.features, unseen.draft_seconds).seconds
    log = np.log2(unseen.measured_seconds)
    assert (
        np.corrcoef(np.log2(with_weights), log)[0, 1] > np.corrcoef(np.log2(unseen.draft_seconds), log)[0, 1]
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vector_bytes": 32, "name": "haswell"}, "pre-trained weights know test; haswell is another kind"),
        ({"vector_registers": 16}, "another kind of machine"),
        ({"l2_bytes": 1 << 18}, "another kind of machine"),
    ],
)
def test_a_machine_that_the_weights_do_not_know_falls_back_and_says_so(weights, change, reason):
    loaded = load_pretrained(replace(MACHINE, **change), weights)
    assert loaded.residual is None
    assert loaded.reason.startswith("draft model: ")
    assert reason in loaded.reason


def test_a_neighbour_of_another_name_is_served(weights):
    loaded = load_pretrained(replace(MACHINE, name="znver9", l1_bytes=48 << 10, cores=16), weights)
    assert loaded.residual is not None
    assert "applied to znver9" in loaded.reason


def test_missing_or_damaged_files_are_a_reason_not_an_error(weights, tmp_path):
    assert "no pre-trained weights" in load_pretrained(MACHINE, tmp_path).reason
    (tmp_path / "residual.npz").write_bytes(b"not an archive")
    (tmp_path / "card.json").write_text("{")
    assert "card.json is damaged" in load_pretrained(MACHINE, tmp_path).reason
    card = json.loads((weights / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert "cannot be read" in load_pretrained(MACHINE, tmp_path).reason
    (tmp_path / "card.json").write_text(json.dumps({**card, "feature_version": 0}))
    assert "feature version 0" in load_pretrained(MACHINE, tmp_path).reason


def test_tasks_that_are_judged_on_are_not_trained_on(data_file, tmp_path):
    with np.load(data_file) as archive:
        arrays = dict(archive)
    chosen = arrays["groups"] == 8
    judged = {name: arrays[name][chosen] for name in ("features", "draft_seconds", "measured_seconds")}
    other = tmp_path / "test.npz"
    one = {"groups": np.zeros(chosen.sum(), np.int64)}
    one |= {name: arrays[name][8:9] for name in ("operators", "workloads")}
    np.savez(other, **{**arrays, **judged, **one})
    collected, test = read([data_file]), read([other])
    rest = collected.without(set(), set(test.workloads))
    assert 8 not in rest.groups
    assert len(np.unique(rest.groups)) == 9
    assert rest.succeeded.all()


def test_data_of_another_version_is_refused(data_file, tmp_path):
    with np.load(data_file) as archive:
        arrays = dict(archive)
    other = tmp_path / "old.npz"
    np.savez(other, **{**arrays, "feature_version": FEATURE_VERSION + 1})
    with pytest.raises(ValueError, match="not of feature version"):
        read([other])
    result = CliRunner().invoke(main, [str(other), "--output", str(tmp_path)])
    assert result.exit_code == 2
    with pytest.raises(ValueError, match="no measurements left"):
        read([data_file], exclude=sorted(set(OPERATORS)))


def test_files_are_joined_with_groups_of_their_own(data_file):
    both = read([data_file, data_file])
    assert len(both.data) == 1400
    assert len(np.unique(both.data.groups)) == 20
    assert len(both.hardware) == 1


def test_a_candidate_counts_as_its_speed_over_that_of_the_fastest_of_its_task():
    data = replace(
        dataset(0, 3, chosen=(0, 1)),
        measured_seconds=np.array([2.0, 1.0, 100.0, 8.0, 4.0, 4.0]),
        groups=np.array([0, 0, 0, 1, 1, 1]),
    )
    np.testing.assert_allclose(importance(data), [0.5, 1.0, LEAST_IMPORTANCE, 0.5, 1.0, 1.0])
