"""``tirtune`` for GPUs on a machine without one."""

import json

import pytest

from tuner.measure.cuda import measurer

pytestmark = pytest.mark.tvm

SMALL = ("gmm:1,64,64,64", "sfm:64,64")


@pytest.fixture
def without_driver(monkeypatch):
    monkeypatch.setattr(measurer, "has_driver", lambda: False)


@pytest.mark.parametrize("target", ["cuda -arch=sm_80", "cuda -arch=sm_90"])
def test_build_only_explores_builds_and_reports(tirtune, target):
    done = tirtune(
        "tune", *SMALL, "--target", target, "--build-only", "--trials", 8, "--strategy", "random", "--json"
    )
    assert done.code == 0, done
    values = json.loads(done.out)
    assert values["build_only"] is True and target.split("=")[1] in values["target"]
    assert [task["workload"] for task in values["tasks"]] == list(SMALL)
    for task in values["tasks"]:
        assert task["untuned_built"]
        assert task["built"] + sum(task["failed"].values()) == task["candidates"]
        assert 1 <= task["facts"]["registers"]["smallest"] <= task["facts"]["registers"]["largest"] <= 255
    assert sum(task["candidates"] for task in values["tasks"]) <= 8


def test_build_only_works_for_cpus_too(tirtune):
    done = tirtune("tune", SMALL[0], "--build-only", "--trials", 3)
    assert done.code == 0, done
    assert "Built 3 of 3 candidates" in done.out


def test_build_only_keeps_no_log(refused):
    line = refused("tune", SMALL[0], "--target", "cuda", "--build-only", "--log", "run.jsonl")
    assert "--log run.jsonl" in line and "leave it out" in line


def test_tuning_without_a_driver_says_what_is_missing(refused, without_driver):
    line = refused("tune", SMALL[0], "--target", "cuda", "--trials", 2, code=1)
    assert "driver" in line and "--build-only" in line


def test_the_doctor_names_the_compiler_and_what_is_missing(tirtune, without_driver):
    done = tirtune("doctor", "--target", "cuda -arch=sm_90", "--json")
    checks = json.loads(done.out)["checks"]
    assert done.code == 1
    assert checks["CUDA compiler"]["state"] == "ok" and checks["machine"]["data"]["capability"] == 90
    assert checks["device"]["state"] == "bad" and "driver" in checks["device"]["value"]


def test_an_architecture_that_does_not_exist_is_bad_usage(refused):
    line = refused("tune", SMALL[0], "--target", "cuda -arch=sm_10", "--build-only")
    assert "sm_10" in line and "sm_80" in line
