import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.bench.contestant import Contestant, SideFailed, environment
from scripts.bench.interleave import Entry, interleave
from scripts.bench.peak import Yardstick
from scripts.bench.problems import problem_of
from scripts.bench.worker import time_call

pytestmark = pytest.mark.tvm


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_sides_take_turns_and_are_checked():
    entries = [
        Entry("onnxruntime", "onnxruntime", {}),
        Entry("broken", "tirtune", {"log": "/nonexistent/log.jsonl"}),
    ]
    found = interleave(problem_of("sfm:16,16"), entries, 1, rounds=3, turn_seconds=1e-3, warm_seconds=1e-4)
    assert list(found) == ["onnxruntime", "broken"]
    assert len(found["onnxruntime"].turns_seconds) == 3
    assert 0 < found["onnxruntime"].seconds < 1
    assert found["onnxruntime"].error < 1e-5
    assert found["broken"].seconds is None
    assert "/nonexistent/log.jsonl" in found["broken"].reason


def test_the_peak_takes_turns_with_the_kernels():
    problem = problem_of("gmm:1,64,64,64")
    entries = [Entry("onnxruntime", "onnxruntime", {})]
    with Yardstick(1) as yardstick:
        found = interleave(
            problem, entries, 1, rounds=3, turn_seconds=1e-3, warm_seconds=1e-4, yardstick=yardstick
        )
    assert list(found) == ["onnxruntime", "peak"]
    assert len(found["peak"].turns_seconds) == 3
    # Between a multiply-add of one lane in a nanosecond and 512 lanes five times in one.
    assert 2e9 < problem.flops / found["peak"].seconds < 5e12


def test_a_peak_that_died_costs_its_figure_alone():
    with Yardstick(1) as yardstick:
        yardstick.contestant.close()
        entries = [Entry("onnxruntime", "onnxruntime", {})]
        found = interleave(
            problem_of("sfm:16,16"),
            entries,
            1,
            rounds=2,
            turn_seconds=1e-3,
            warm_seconds=1e-4,
            yardstick=yardstick,
        )
    assert found["onnxruntime"].seconds is not None
    assert found["peak"].seconds is None
    assert "died" in found["peak"].reason


def test_a_side_without_the_operator_says_so():
    problem = problem_of("cap:1,4,4,2,2,3,1,1")
    found = interleave(problem, [Entry("onnxruntime", "onnxruntime", {})], 1, rounds=1)
    assert found["onnxruntime"].seconds is None
    assert "no cap" in found["onnxruntime"].reason


def test_a_side_is_stopped_between_turns_and_its_death_is_noticed():
    with Contestant("onnxruntime", 1) as contestant:
        assert contestant.ask({"do": "overhead"})["seconds"] > 0
        pid = contestant._process.pid
        deadline = time.monotonic() + 60.0
        while state_of(pid) != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert state_of(pid) == "T"
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SideFailed, match="onnxruntime"):
            contestant.ask({"do": "overhead"}, timeout_seconds=60.0)


def test_only_torch_sees_torch():
    assert "hidden" in environment(2)["PYTHONPATH"]
    assert "hidden" not in environment(2, "torch").get("PYTHONPATH", "")
    assert environment(3)["TVM_NUM_THREADS"] == "3"


def test_small_calls_are_timed_in_blocks(monkeypatch):
    now, calls = [0.0], []

    def call():
        calls.append(None)
        now[0] += 1e-5 if len(calls) % 70 else 1e-3  # now and then one is disturbed

    monkeypatch.setattr("scripts.bench.worker.time", SimpleNamespace(perf_counter=lambda: now[0]))
    seconds = time_call(call, 1e-3, 3e-3)
    assert len(calls) == 70 + 3 * 41
    assert seconds == pytest.approx(1e-5)  # the median of three blocks, the second of which was disturbed
