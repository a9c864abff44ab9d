"""What a run minimises and what it may spend, through the command line, with times that are made up."""

import pytest

from tests.session.test_session import FakeMeasurer

pytestmark = pytest.mark.tvm

OPERATORS = ("gmm:1,32,48,64", "sfm:16,48")


@pytest.fixture
def tune(tirtune, monkeypatch):
    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: FakeMeasurer())

    def call(*words):
        done = tirtune("tune", *OPERATORS, "--batch", 4, "--threads", 2, "--json", *words)
        assert done.code == 0, done.err
        return done.json

    return call


@pytest.mark.parametrize("objective", ["latency", "geomean", "early-stop", "requirement:1us"])
def test_an_objective_that_can_be_improved_spends_the_budget(tune, objective):
    values = tune("--trials", 24, "--objective", objective)
    assert values["stopped"] == "all 24 trials are spent"
    assert [task["trials"] >= 4 for task in values["tasks"]] == [True, True]
    assert 0 <= values["gain_of_as_many_again"] < 1


def test_a_met_requirement_ends_the_run_after_every_tasks_first_batch(tune):
    values = tune("--trials", 400, "--objective", "requirement:20s")
    assert [task["trials"] for task in values["tasks"]] == [4, 4]
    assert values["stopped"] == "no task can improve the objective any more (requirement:20s)"


def test_early_stop_ends_before_the_budget(tune):
    values = tune("--trials", 1000, "--objective", "early-stop")
    assert sum(task["trials"] for task in values["tasks"]) < 1000
    assert "early-stop" in values["stopped"] or values["stopped"] == "nothing left to try"


def test_wall_time_is_a_budget(tune):
    values = tune("--time", "2s")
    assert values["stopped"] == "the time of 2 s is up"
    assert all(task["trials"] >= 1 for task in values["tasks"])


def test_the_line_for_people_forecasts_the_gain(tirtune, monkeypatch):
    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: FakeMeasurer())
    done = tirtune("tune", *OPERATORS, "--batch", 4, "--threads", 2, "--trials", 24, "--quiet")
    assert done.code == 0
    assert "As many trials again may save about" in done.out + done.err
