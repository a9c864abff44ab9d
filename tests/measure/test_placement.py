"""The calling thread leaves the CPUs of bound workers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tuner.placement import beside_workers, free_cpus, leave_bound_cpus

pytestmark = pytest.mark.pure


@contextmanager
def worker_on(cpus: set[int]) -> Iterator[None]:
    """Keep a thread that is bound to some CPUs alive for the duration of a block."""
    ready, done = threading.Event(), threading.Event()

    def body() -> None:
        os.sched_setaffinity(0, cpus)
        ready.set()
        done.wait()

    thread = threading.Thread(target=body)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_bound_worker_has_its_cpu_for_itself():
    own, before = os.sched_getaffinity(0), free_cpus()  # this process may have a pool already
    last = max(before)
    with worker_on({last}):
        left = (before - {last}) or own
        assert free_cpus() == left
        with beside_workers():
            assert os.sched_getaffinity(0) == left
        assert os.sched_getaffinity(0) == own
    assert free_cpus() == before


def test_threads_that_may_run_anywhere_bind_nothing():
    before = free_cpus()
    with worker_on(os.sched_getaffinity(0)):
        assert free_cpus() == before


def test_the_caller_stays_when_no_cpu_is_left():
    own = os.sched_getaffinity(0)
    workers = [worker_on({cpu}) for cpu in own]
    try:
        for worker in workers:
            worker.__enter__()
        leave_bound_cpus()
        assert os.sched_getaffinity(0) == own
    finally:
        for worker in workers:
            worker.__exit__(None, None, None)
