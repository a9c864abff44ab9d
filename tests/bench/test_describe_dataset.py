"""Features of measured candidates, computed anew."""

import json

import numpy as np
import pytest

from cost_models.features import COLUMNS, FEATURE_VERSION
from scripts.collect_dataset import Rows
from scripts.describe_dataset import describe_file
from search_space.candidate import context_of
from search_space.hardware import resolve_target
from tuner.search import RandomSearch
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm
SPEC = "c2d:1,12,12,32,32,3,1,1"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    ctx = context_of(named_workload(SPEC), resolve_target())
    rows = Rows()
    for index, proposal in enumerate(RandomSearch(ctx.sketches, np.random.default_rng(0)).propose(24)):
        rows.add(ctx, proposal, None if index == 3 else 1e-3 * (index + 1))
    path = tmp_path_factory.mktemp("data") / "0-000-c2d.npz"
    rows.write(path, SPEC, ctx.hardware)
    return path


def test_features_come_from_the_decisions(source, tmp_path):
    with np.load(source) as archive:
        before = dict(archive)
    stale = tmp_path / "stale.npz"
    other = {"features": np.zeros((24, 5), np.float32), "feature_version": np.array(0)}
    np.savez(stale, **{**before, **other})
    assert describe_file(stale, tmp_path / "new.npz") == 24
    with np.load(tmp_path / "new.npz") as after:
        assert int(after["feature_version"]) == FEATURE_VERSION
        assert after["features"].shape == (24, len(COLUMNS))
        np.testing.assert_allclose(after["features"], before["features"], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(after["measured_seconds"], before["measured_seconds"])


def test_candidates_of_a_sketch_that_computes_otherwise_now_are_left_out(source, tmp_path):
    with np.load(source) as archive:
        before = dict(archive)
    kept = np.array(["winograd" not in json.loads(plan)["sketch"] for plan in before["plans"]])
    assert 0 < kept.sum() < 24
    assert describe_file(source, tmp_path / "some.npz", ["winograd"]) == kept.sum()
    with np.load(tmp_path / "some.npz") as after:
        np.testing.assert_array_equal(after["measured_seconds"], before["measured_seconds"][kept])
        np.testing.assert_allclose(after["features"], before["features"][kept], rtol=1e-5, atol=1e-5)
        assert len(after["groups"]) == kept.sum()
    assert describe_file(source, tmp_path / "none.npz", [""]) == 0
    assert not (tmp_path / "none.npz").exists()


def test_a_sketch_that_is_not_made_any_more_is_named(source, tmp_path):
    with np.load(source) as archive:
        before = dict(archive)
    before["plans"] = np.array([json.dumps({"kind": "sketch", "sketch": "gone", "row": [0]})] * 24)
    other = tmp_path / "gone.npz"
    np.savez(other, **before)
    with pytest.raises(ValueError, match="'gone' is not made any more"):
        describe_file(other, tmp_path / "out.npz")
