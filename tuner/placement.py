"""Keep the thread that calls kernels off the CPUs to which a runtime has bound its workers.

TVM binds every worker of its pool to one CPU and leaves the calling thread, which does its share of each
parallel loop, free to run anywhere: on a machine that does other things too it ends up beside a worker on
one CPU now and then, stays there for a while, and every kernel takes twice as long.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def free_cpus() -> set[int]:
    """Return the CPUs of this thread to which no other thread of this process is bound.

    A thread counts as bound when it may use exactly one CPU. All CPUs of this thread are returned when
    none would be left.
    """
    own = os.sched_getaffinity(0)
    caller = threading.get_native_id()
    bound: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        thread = int(task.name)
        with suppress(ProcessLookupError):  # it may have ended since it was listed
            cpus = os.sched_getaffinity(thread) if thread != caller else set()
            if len(cpus) == 1:
                bound |= cpus
    return (own - bound) or own


def leave_bound_cpus() -> None:
    """Move this thread off the CPUs of bound workers, for good. Call it after the pool has started."""
    os.sched_setaffinity(0, free_cpus())


@contextmanager
def beside_workers() -> Iterator[None]:
    """Do the same for the duration of a block."""
    before = os.sched_getaffinity(0)
    leave_bound_cpus()
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
