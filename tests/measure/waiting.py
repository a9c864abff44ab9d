"""Waiting for what other processes do."""

import time
from collections.abc import Callable

import psutil

PATIENCE_SECONDS = 60.0
"""Busy machines are slow; a test that passes does not wait longer than it must."""


def is_alive(pid: int) -> bool:
    """Report whether a process runs or could; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when a condition has come true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, f"the condition did not come true within {PATIENCE_SECONDS:g} s"
        time.sleep(0.01)
