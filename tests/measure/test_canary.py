"""The canary: what its times say of the machine, and looks that it does not answer."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
from matmul_plans import ENTRY, matmul_task

from tuner.errors import JobFailed
from tuner.measure.canary import DriftMeter
from tuner.measure.canary_process import CanaryProcess
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions
from tuner.measure.supervisor import Supervisor

pytestmark = pytest.mark.tvm

TASK = matmul_task()
GOOD = {"kind": "tiled"}
OPTIONS = MeasureOptions(
    entry=ENTRY,
    canary_seconds=1e-6,
    patience_seconds=0.0,
    least_timeout_seconds=30.0,
    run_timeout_seconds=60.0,
)


def test_one_disturbed_look_is_no_drift() -> None:
    times = iter([1.0, 1.02, 1.01, 5.0, 1.0, 1.0, 1.3, 1.3, 1.3])
    meter = DriftMeter(lambda: [next(times)])
    meter.look()
    assert not meter.is_suspect
    meter.look()
    assert not meter.is_suspect
    meter.look()
    assert meter.is_suspect
    assert meter.factor == meter.moved == pytest.approx(1.3)


def test_a_slow_machine_is_waited_for() -> None:
    slept: list[float] = []

    def sample() -> list[float]:
        return [2.0 if 0.0 < sum(slept) < 0.35 else 1.0]

    meter = DriftMeter(sample, patience_seconds=5.0, sleep=slept.append)
    meter.settle()
    assert not slept
    slept.append(0.01)
    meter.settle()
    assert sum(slept) >= 0.35
    assert not meter.is_suspect


def test_patience_ends_and_comes_back_when_the_machine_is_well() -> None:
    slept: list[float] = []
    speeds = [1.0]
    meter = DriftMeter(lambda: [speeds[-1]], patience_seconds=0.5, sleep=slept.append)
    meter.settle()
    speeds.append(3.0)
    meter.settle()
    assert sum(slept) == pytest.approx(0.5)
    assert meter.is_suspect
    assert meter.factor == 2.5
    meter.settle()
    assert sum(slept) == pytest.approx(0.5)
    speeds.append(1.0)
    meter.settle()
    speeds.append(3.0)
    meter.settle()
    assert sum(slept) == pytest.approx(1.0)


def test_a_missed_look_changes_nothing() -> None:
    looks: list[list[float]] = [[1.0], [1.0], [1.0], [], [1.3], [1.3], [], []]
    meter = DriftMeter(lambda: looks.pop(0))
    meter.look()
    meter.look()
    assert meter.moved == 1.0
    meter.look()
    assert meter.moved == pytest.approx(1.3)
    meter.look()
    assert meter.moved == pytest.approx(1.3)


def test_a_canary_that_never_answers_ends_no_trial_and_is_given_up() -> None:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer._canary = CanaryProcess(measurer.supervisor, 120.0, answer_seconds=0.0)
        measurer.open(TASK)
        results = measurer.measure(TASK.key, [GOOD] * 5)
        assert [r.failure for r in results] == [None] * 5
        assert all(r.drift == 1.0 and not r.is_suspect for r in results)
        assert measurer._canary.missed == 3


def test_a_killed_canary_costs_one_look() -> None:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        assert measurer.measure(TASK.key, [GOOD])[0].failure is None
        process = measurer._canary._process
        assert process is not None and process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert [r.failure for r in measurer.measure(TASK.key, [GOOD] * 3)] == [None] * 3
        assert measurer._canary.missed == 0
        assert measurer._canary._process is not process


def test_a_canary_that_cannot_be_built_ends_the_job() -> None:
    supervisor = Supervisor()
    try:
        canary = CanaryProcess(supervisor, 120.0)
        with pytest.raises(JobFailed, match="building the canary kernel failed"):
            canary.sample(replace(TASK, target="{}"))
    finally:
        supervisor.close()
