"""Remote devices for real: a tracker and two servers on the loopback interface, one of them killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from matmul_plans import ENTRY, matmul_task

import tuner
from records.jsonl import JsonlStore
from tuner import TuneOptions
from tuner.errors import JobFailed, UserError
from tuner.measure.options import MeasureOptions
from tuner.measure.rpc.address import RpcAddress
from tuner.measure.rpc.measurer import RpcMeasurer

pytestmark = pytest.mark.tvm

ROOT = Path(__file__).parents[2]
TASK = matmul_task(threads=1)
GOOD = {"kind": "tiled"}
OPTIONS = MeasureOptions(entry=ENTRY, build_timeout_seconds=20.0)


class Devices:
    """A tracker with servers, each a process group of its own."""

    def __init__(self, count: int) -> None:
        self.port = free_port()
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--port-end", str(self.port + 1)]
        self.tracker = start("tvm.exec.rpc_tracker", *where)
        self.servers = [self.start_server() for _ in range(count)]
        self.address = f"rpc://127.0.0.1:{self.port}/test"
        wait_for(lambda: RpcAddress.parse(self.address).devices() == count)

    def start_server(self) -> subprocess.Popen[bytes]:
        port = free_port()
        return start(
            "tvm.exec.rpc_server",
            *("--host", "127.0.0.1", "--port", str(port), "--port-end", str(port + 1)),
            *("--tracker", f"127.0.0.1:{self.port}", "--key", "test"),
        )

    def close(self) -> None:
        for process in (*self.servers, self.tracker):
            kill(process)


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    devices = Devices(2)
    yield devices
    devices.close()


def test_a_batch_survives_the_death_of_a_device(devices: Devices) -> None:
    with RpcMeasurer(devices.address, OPTIONS) as measurer:
        baseline = measurer.open(TASK)
        assert baseline.timing is not None
        good, bad = measurer.measure(TASK.key, [GOOD, {"kind": "raise"}])
        assert good.timing is not None, good.failure
        assert good.verdict is not None and good.verdict.ok
        assert {"llvm", "link", "connect", "upload", "timing"} <= set(good.stages)
        assert bad.failure is not None and bad.failure.stage == "generate"
        # Alone: beside a faster one it would not be checked.
        (wrong,) = measurer.measure(TASK.key, [{"kind": "wrong"}])
        assert wrong.failure is not None and wrong.failure.stage == "wrong_result"

        comparison = measurer.compare(TASK.key, {"kind": "slow", "times": 20}, {"kind": "default"})
        assert comparison.may_win, comparison
        assert comparison.verdict is not None and comparison.verdict.ok

        assert len(measurer._lanes) == 2
        killed = _kill_when_running(measurer, devices.servers[0])
        results = measurer.measure(TASK.key, [GOOD] * 10)
        assert killed.has_killed
        failed = [r for r in results if r.failure is not None]
        assert len(failed) <= 1, [r.failure for r in failed]
        assert all(r.failure.stage in ("crash", "timeout") for r in failed if r.failure)
        assert sum(r.timing is not None for r in results) >= 9


def test_a_tuner_runs_on_devices_and_says_so_in_its_records(devices: Devices, tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    options = TuneOptions(trials=3, batch=3, threads=1, log=log, measure=devices.address, seed=0)
    (task,) = tuner.tune("gmm:1,32,32,32", options=options).tasks
    assert task.trials == 3 and task.failed == 0
    with JsonlStore(log, read_only=True) as store:
        summaries = store.view().summaries
    assert {s.environment.cpu for s in summaries} == {"remote device test"}
    assert sum(s.kind == "trial" and s.is_valid for s in summaries) == 3


@pytest.mark.slow
def test_a_run_of_the_command_survives_the_death_of_a_device(tmp_path: Path) -> None:
    devices = Devices(2)
    log, trials = tmp_path / "run.jsonl", 24
    words = ["gmm:1,64,64,64", "--measure", devices.address, "--threads", "1", "--trials", str(trials)]
    words += ["--batch", "8", "--log", str(log), "--seed", "0", "--json"]
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuner.cli.main", "tune", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
        )
        wait_for(lambda: log.exists() and log.read_bytes().count(b'"kind":"trial"') >= 8)
        kill(devices.servers[0])
        out, err = process.communicate(timeout=600)
    finally:
        devices.close()
    assert process.returncode == 0, err
    (task,) = json.loads(out)["tasks"]
    assert task["trials"] == trials
    assert task["failed"] <= 1, "only the trial in flight may be lost"
    assert task["best_seconds"] <= task["baseline_seconds"]
    with JsonlStore(log, read_only=True) as store:
        view = store.view()
        assert not view.problems
        failed = [s for s in view.summaries if s.stage is not None]
    assert sum(s.kind == "trial" for s in view.summaries) == trials
    assert all(s.stage in ("crash", "timeout") for s in failed)


class _kill_when_running:
    """Kills a device when the third candidate goes to run."""

    def __init__(self, measurer: RpcMeasurer, server: subprocess.Popen[bytes]) -> None:
        self.has_killed = False
        self._left = 3
        for lane in measurer._lanes:
            lane.runner._prepare = self._wrap(lane.runner._prepare, server)  # type: ignore[method-assign]

    def _wrap(self, prepare, server):  # type: ignore[no-untyped-def]
        def wrapped(build, stages):  # type: ignore[no-untyped-def]
            prepare(build, stages)
            self._left -= 1
            if self._left == 0:
                kill(server)
                self.has_killed = True

        return wrapped


@pytest.mark.parametrize("text", ["rpc://host/key", "host:90/key", "rpc://host:90", "rpc://h:x/k"])
def test_an_address_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="use rpc://host:port/key"):
        RpcMeasurer(text)


def test_a_tracker_that_is_away_is_one_line() -> None:
    measurer = RpcMeasurer(f"rpc://127.0.0.1:{free_port()}/test", OPTIONS)
    with pytest.raises(JobFailed, match=r"does not answer.*rpc_tracker"):
        measurer.open(TASK)


def test_a_key_without_devices_is_one_line(devices: Devices) -> None:
    measurer = RpcMeasurer(f"rpc://127.0.0.1:{devices.port}/other", OPTIONS)
    with pytest.raises(JobFailed, match=r"no device is registered under 'other'.*rpc_server"):
        measurer.open(TASK)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = dict(os.environ, TVM_NUM_THREADS="1")
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(holds) -> None:  # type: ignore[no-untyped-def]
    for _ in range(2400):
        try:
            if holds():
                return
        except JobFailed:
            pass
        time.sleep(0.05)
    raise AssertionError("the tracker and its devices did not start within two minutes")
