import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from scripts.bench import ours
from scripts.bench.metaschedule import NOTES, finished, prefix, times_of
from scripts.bench.problem import Problem, Spec

pytestmark = pytest.mark.pure

BATCHES = [
    {"wall_seconds": 10.0, "run_seconds": [3.0, None]},
    {"wall_seconds": 30.0, "run_seconds": [2.0, 5.0, 1.0, 4.0]},
]
NOTE = {
    "text": "sfm:2,2",
    "folder": "there",
    "wall_seconds": 31.0,
    "batches": BATCHES,
    "cpu": "one",
    "threads": 2,
}
PROBLEM = Problem("sfm:2,2", "sfm", {}, "float32", (), Spec("out", (2, 2), "float32"), 1.0)


def test_wall_time_of_a_batch_is_divided_evenly():
    assert [wall for wall, _ in times_of(BATCHES)] == [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]


def test_a_prefix_is_a_run_that_ended_there():
    found = prefix(NOTE, 4)
    assert (found.trials, found.failed, found.wall_seconds, found.best_seconds) == (4, 1, 20.0, 2.0)
    assert [point.best_seconds for point in found.curve] == [3.0, 3.0, 2.0, 2.0]


def test_a_whole_run_keeps_its_own_wall_time():
    assert prefix(NOTE, 6).wall_seconds == 31.0
    assert prefix(NOTE, 100).trials == 6


@pytest.mark.parametrize(
    ("cpu", "threads", "known"), [("one", 2, True), ("other", 2, False), ("one", 1, False)]
)
def test_databases_of_another_machine_do_not_count(tmp_path, cpu, threads, known):
    folder = tmp_path / PROBLEM.slug / "6"
    folder.mkdir(parents=True)
    (folder / NOTES).write_text(json.dumps(NOTE))
    assert bool(finished(PROBLEM, tmp_path, threads, cpu)) is known


def test_a_run_that_did_not_end_does_not_count(tmp_path):
    folder = tmp_path / PROBLEM.slug / "6"
    folder.mkdir(parents=True)
    (folder / "database_tuning_record.json").write_text("")
    assert not finished(PROBLEM, tmp_path, 2, "one")


def test_a_problem_survives_json():
    assert Problem.from_dict(json.loads(json.dumps(PROBLEM.to_dict()))) == PROBLEM


def test_what_a_batch_found_counts_when_all_of_it_is_over(monkeypatch):
    def trial(number, time_unix, seconds, kind="trial"):
        return SimpleNamespace(
            kind=kind, round=number, time_unix=time_unix, median_seconds=seconds, is_valid=seconds is not None
        )

    trials = [trial(0, 103.0, 4.0), trial(0, 104.0, None), trial(1, 109.0, 2.0), trial(1, 110.0, 3.0)]
    view = SimpleNamespace(
        headers=[SimpleNamespace(time_unix=100.0)], summaries=[*trials, trial(1, 200.0, 1.0, "confirmation")]
    )

    @contextmanager
    def opened(names):
        yield (SimpleNamespace(view=lambda: view),)

    monkeypatch.setattr(ours, "opened", opened)
    curve = ours.curve_of("log")
    assert [point.trial for point in curve] == [1, 2, 3, 4]
    assert [point.wall_seconds for point in curve] == [4.0, 4.0, 10.0, 10.0]
    assert [point.best_seconds for point in curve] == [4.0, 4.0, 2.0, 2.0]
