"""Whatever ends a run, the log stays sound and the same command goes on where it stopped."""

import os
import resource
import signal
import time
import types
from collections import Counter

import psutil
import pytest

from records.opening import open_store
from records.verify import verify
from tuner.cli.interruption import Interruption

pytestmark = pytest.mark.tvm

COMMAND = ["tune", "gmm:1,24,24,24", "--trials", 12, "--batch", 3, "--log", "run.jsonl"]


def trials(path):
    """Plan keys of the trials of a sound log."""
    store = open_store(path, read_only=True, create=False)
    try:
        assert verify(store).is_sound or len(verify(store).problems) == 1  # a torn tail at most
        return [s.plan_key for s in store.view().summaries if s.kind == "trial"]
    finally:
        store.close()


def wait_for_trials(process, path, least=3, timeout=300):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1]
        if path.exists() and path.read_bytes().count(b'"kind":"trial"') >= least:
            return
        time.sleep(0.05)
    raise AssertionError("no trials in time")


def gone(processes, timeout=60):
    _, alive = psutil.wait_procs(processes, timeout=timeout)
    return [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def finish(tirtune, path):
    """Run the command again; nothing may be measured twice and the budget is spent exactly."""
    before = trials(path)
    done = tirtune(*COMMAND, "--json")
    assert done.code == 0, done.err
    after = trials(path)
    assert after[: len(before)] == before
    assert len(after) == 12 == done.json["tasks"][0]["trials"]
    assert not [key for key, count in Counter(after).items() if count > 1]


def test_interrupt_prints_the_table_and_the_run_goes_on_later(start, tirtune, tmp_path):
    process = start(*COMMAND, cwd=tmp_path, start_new_session=True)
    wait_for_trials(process, tmp_path / "run.jsonl")
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "speed-up" in out and "interrupted" in out
    assert "Traceback" not in err
    assert not gone(children)
    finish(tirtune, tmp_path / "run.jsonl")


def test_terminate_is_an_interrupt(start, tmp_path):
    process = start(*COMMAND, "--json", cwd=tmp_path)
    wait_for_trials(process, tmp_path / "run.jsonl")
    process.terminate()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert '"interrupted": true' in out


def test_interrupt_inside_a_library_waits_for_the_next_check():
    # An exception in a callback of its C code would be printed and lost.
    library = types.ModuleType("xgboost.core")
    exec("def call(action): return action()", library.__dict__)

    def action():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        return "went on"

    with Interruption() as interruption:
        interruption.check()
        assert library.call(action) == "went on"
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    with Interruption(), pytest.raises(KeyboardInterrupt):
        action()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_kill_loses_at_most_the_batch_in_flight(start, tirtune, tmp_path):
    process = start(*COMMAND, cwd=tmp_path)
    wait_for_trials(process, tmp_path / "run.jsonl", least=6)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert not gone(children), "no child outlives its killed parent"
    assert len(trials(tmp_path / "run.jsonl")) >= 6
    finish(tirtune, tmp_path / "run.jsonl")


def test_full_disk_is_one_line_and_the_run_goes_on_later(tuned, start, tirtune, tmp_path):
    log = tmp_path / "run.jsonl"
    header = tuned[0].read_bytes().splitlines(keepends=True)[0]
    log.write_bytes(header * 300)  # long enough that the limit stops nothing but the log
    room = log.stat().st_size + 9_000

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = start(*COMMAND, cwd=tmp_path, preexec_fn=limit)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert err.strip().splitlines()[-1].startswith("tirtune: cannot write log run.jsonl")
    assert "Traceback" not in err
    assert len(trials(log)) < 12
    finish(tirtune, log)
