"""Bad candidates, a killed server, a clock that jumps: the batch goes on and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from matmul_plans import ENTRY, matmul_task
from waiting import is_alive, wait_until

from tuner.errors import JobFailed
from tuner.measure.base import MeasureResult
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions

pytestmark = pytest.mark.tvm

TASK = matmul_task()
GOOD = {"kind": "tiled"}
OPTIONS = MeasureOptions(
    entry=ENTRY,
    memory_bytes=512 << 20,
    build_timeout_seconds=6.0,
    canary_seconds=0,
    least_timeout_seconds=1.0,
    run_timeout_seconds=2.0,
)


@pytest.fixture(scope="module")
def measurer() -> Iterator[LocalMeasurer]:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        yield measurer


def measure_among_good(measurer: LocalMeasurer, plan: dict[str, Any]) -> MeasureResult:
    """Measure a plan between two good ones, which must not notice."""
    before, result, after = measurer.measure(TASK.key, [GOOD, plan, GOOD])
    assert before.timing is not None, before.failure
    assert after.timing is not None, after.failure
    return result


@pytest.mark.parametrize(
    ("kind", "stage", "words"),
    [
        ("segfault", "crash", "SIGSEGV"),
        ("abort", "crash", "SIGABRT"),
        ("leave", "crash", "status 7"),
        ("raise", "generate", "ValueError: cannot be materialised"),
        ("babble", "crash", "SIGKILL"),
        ("endless_python", "timeout", "not built after 6 s"),
        ("compiler_hang", "timeout", "not built after 6 s"),
        ("endless_memory", "generate", "MemoryError"),
        ("unrolled", "build", "statements after unrolling"),
        ("endless_kernel", "timeout", "still ran after"),
        ("far_write", "crash", "SIGSEGV"),
        ("near_write", "wrong_result", "outside of buffer C"),
        ("input_write", "wrong_result", "changed input A"),
        ("wrong", "wrong_result", "elements are wrong"),
        ("unwritten", "wrong_result", "not written"),
    ],
)
def test_a_bad_candidate_is_a_failure_and_its_neighbours_are_not(
    measurer: LocalMeasurer, kind: str, stage: str, words: str
) -> None:
    if stage == "wrong_result":  # alone: beside a faster one it would not be checked
        result = measurer.measure(TASK.key, [{"kind": kind}])[0]
        assert measurer.measure(TASK.key, [GOOD])[0].timing is not None
    else:
        result = measure_among_good(measurer, {"kind": kind})
    assert result.timing is None
    assert result.failure is not None
    assert (result.failure.stage, words in result.failure.message) == (stage, True), result.failure


def test_output_is_bounded_and_does_no_harm(measurer: LocalMeasurer) -> None:
    result = measure_among_good(measurer, {"kind": "noise"})
    assert result.timing is not None, result.failure


def test_processes_that_a_candidate_leaves_behind_are_ended(measurer: LocalMeasurer, tmp_path: Path) -> None:
    result = measure_among_good(measurer, {"kind": "forks", "mark": str(tmp_path)})
    assert result.timing is not None, result.failure
    left = [int(path.name) for path in tmp_path.iterdir()]
    assert len(left) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in left))


def test_a_killed_server_costs_only_the_trials_in_flight() -> None:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        server = measurer.supervisor.server_pid
        assert server is not None
        killer = _KillOnSubmit(measurer, after=3, pid=server)
        results = measurer.measure(TASK.key, [GOOD] * 8)
        assert killer.has_killed
        failed = [r for r in results if r.failure is not None]
        assert 1 <= len(failed) <= OPTIONS.window
        assert {r.failure.stage for r in failed if r.failure} == {"crash"}
        assert all("fork server was killed" in r.failure.message for r in failed if r.failure)
        assert sum(r.timing is not None for r in results) == 8 - len(failed)
        assert measurer.supervisor.server_pid != server


def test_a_server_that_keeps_dying_ends_the_job() -> None:
    with LocalMeasurer(replace(OPTIONS, server_restarts=0)) as measurer:
        measurer.open(TASK)
        _KillOnSubmit(measurer, after=0, pid=None)
        with pytest.raises(JobFailed, match=r"fork server died .* times.*memory"):
            measurer.measure(TASK.key, [GOOD] * 4)


def test_no_process_and_no_descriptor_outlives_the_measurer() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    others = {p.pid for p in psutil.Process().children(recursive=True)}
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        measurer.measure(TASK.key, [GOOD, {"kind": "segfault"}])
        pids = [p.pid for p in psutil.Process().children(recursive=True) if p.pid not in others]
        assert pids
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_candidate_far_slower_than_the_incumbent_is_stopped_early(measurer: LocalMeasurer) -> None:
    result = measurer.measure(TASK.key, [{"kind": "slow", "times": 20000}], incumbent_seconds=1e-4)[0]
    assert result.failure is not None
    assert (result.failure.stage, result.failure.is_censored) == ("timeout", True)
    assert "times the incumbent" in result.failure.message
    quick = measurer.measure(TASK.key, [{"kind": "slow", "times": 200}], incumbent_seconds=1e-6)[0]
    assert quick.timing is not None
    assert quick.is_quick
    assert len(quick.timing.runs_seconds) <= 2


def test_a_batch_that_fails_for_one_cause_ends_the_job_with_it() -> None:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        with pytest.raises(JobFailed, match=r"all 4 trials .* one cause.*materialised.*sketches"):
            measurer.measure(TASK.key, [{"kind": "raise"}] * 4)


def test_a_suspended_machine_costs_no_candidate_its_time() -> None:
    class JumpingClock:
        def __init__(self) -> None:
            self.offset = 0.0
            self.calls = 0

        def now(self) -> float:
            self.calls += 1
            if self.calls % 5 == 0:
                self.offset += 3600.0
            return time.monotonic() + self.offset

    with LocalMeasurer(OPTIONS, JumpingClock()) as measurer:
        measurer.open(TASK)
        results = measurer.measure(TASK.key, [GOOD, {"kind": "sleepy", "seconds": 0.5}, GOOD])
        assert [r.failure for r in results] == [None, None, None]
        assert measurer.supervisor.time.jumps > 0


class _KillOnSubmit:
    """Kills the root server when a build is submitted: once, or (no pid) at every submission."""

    def __init__(self, measurer: LocalMeasurer, after: int, pid: int | None) -> None:
        self.has_killed = False
        self._measurer = measurer
        self._left = after
        self._pid = pid
        self._submit = measurer._builder.submit
        measurer._builder.submit = self.submit  # type: ignore[method-assign]

    def submit(self, key: str, plan: Any) -> Any:
        build = self._submit(key, plan)
        self._left -= 1
        pid = self._pid or self._measurer.supervisor.server_pid
        if self._left < 0 and pid and not (self.has_killed and self._pid):
            os.kill(pid, signal.SIGKILL)
            self.has_killed = True
        return build
