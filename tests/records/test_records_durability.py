"""What was acknowledged is never lost: killed writers, full disks."""

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from record_samples import program, record

from records.errors import StoreError
from records.jsonl import JsonlStore

pytestmark = pytest.mark.pure

BATCH = 3


def _write_forever(path, first, pipe):
    """Append batches and say so after each, until killed."""
    with JsonlStore(path) as store:
        number = first
        while True:
            store.append([program(), *(record(number + i) for i in range(BATCH))])
            os.write(pipe, f"{number}\n".encode())
            number += BATCH


def _kill_at_random_moments(path, moments, rng):
    acknowledged, torn = set(), 0
    for moment in range(moments):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read)
                _write_forever(path, moment * 1_000_000, write)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            for _ in range(rng.randrange(3)):
                acknowledged.update(_acknowledged(pipe.readline()))
            # From here on the child may be anywhere: opening, locking, writing, syncing.
            signal.sigtimedwait([], rng.random() * 0.004)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for line in pipe.read().split(b"\n")[:-1]:
                acknowledged.update(_acknowledged(line))
        if moment % 4 == 0 and path.exists():
            # The kernel finishes a single small write, so a half-written batch is made by hand too.
            whole = path.read_bytes()
            path.write_bytes(whole + b'{"type":"record","schema":1,"kind":"tri'[: rng.randrange(1, 39)])
        with JsonlStore(path) as store:
            view = store.view()
            torn += len(view.problems)
            found = {s.trial for s in view.summaries}
            assert acknowledged <= found
            assert all("unfinished" in p.message for p in view.problems)
            assert len(store.load(view.summaries[-BATCH:])) == min(BATCH, len(view.summaries))
    assert acknowledged
    return torn


def _acknowledged(line):
    number = int(line)
    return range(number, number + BATCH)


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path):
    assert _kill_at_random_moments(tmp_path / "log.jsonl", 24, random.Random(1)) > 0


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_at_200_moments(tmp_path):
    assert _kill_at_random_moments(tmp_path / "log.jsonl", 200, random.Random(2)) > 0


def test_a_full_disk_takes_the_batch_back(tmp_path):
    path = tmp_path / "log.jsonl"
    with JsonlStore(path) as store:
        store.append([record(0), record(1)])
    before = path.read_bytes()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 700, resource.RLIM_INFINITY))
            with JsonlStore(path) as store:
                try:
                    store.append([record(i) for i in range(2, 9)])
                except StoreError as error:
                    assert "taken back" in str(error) and "\n" not in str(error), error
                    assert path.read_bytes() == before
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                    store.append([record(99)])  # the same store goes on when there is room again
                    code = 7
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with JsonlStore(path) as store:
        assert [s.trial for s in store.view().summaries] == [0, 1, 99]
        assert not store.view().problems


def test_a_full_disk_while_the_tail_is_finished(tmp_path):
    path = tmp_path / "log.jsonl"
    with JsonlStore(path) as store:
        store.append([record(0)])
        path.write_bytes(path.read_bytes()[:-1])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
        try:
            with pytest.raises(StoreError, match="nothing was written"):
                store.append([record(1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.append([record(1)])
        assert [s.trial for s in store.view().summaries] == [0, 1]


def test_100_000_records_fit_in_time_and_memory_by_count(tmp_path):
    """Bytes held per record, not seconds: 100,000 records must stay far below 500 MB."""
    path = tmp_path / "log.jsonl"
    with JsonlStore(path) as store:
        store.append([record(i) for i in range(2000)])
    script = (
        "import sys, tracemalloc; sys.path.insert(0, sys.argv[2])\n"
        "from records.jsonl import JsonlStore\n"
        "from records.ranking import best_per_task\n"
        "tracemalloc.start()\n"
        "store = JsonlStore(sys.argv[1], read_only=True)\n"
        "best_per_task(store.view().summaries)\n"
        "print(tracemalloc.get_traced_memory()[0] // 2000)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(root)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2000
