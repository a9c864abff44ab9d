"""What the machine offers: cores, caches, memory, quiet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from records.environment import cpu_name
from tuner.doctor.check import Check, State
from tuner.units import bytes_text

_LEAST_MEMORY_BYTES = 2 << 30
_COMFORTABLE_MEMORY_BYTES = 4 << 30
_CPU = Path("/sys/devices/system/cpu/cpu0")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def machine_checks(threads: int | None) -> Iterator[Check]:
    """Look at the machine; loads no compiler.

    Args:
        threads: Thread count that the user wants, or None for every CPU.
    """
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    wanted = threads or usable
    too_many = wanted > usable
    yield Check(
        "CPU",
        "note" if too_many else "ok",
        f"{cpu_name()}, {usable} of {present} CPUs usable, kernels use {wanted} threads",
        f"use --threads {usable}: more threads than CPUs take turns" if too_many else "",
        {"name": cpu_name(), "usable": usable, "present": present, "threads": wanted},
    )
    quota = _quota()
    if quota is not None and quota < usable:
        yield Check(
            "CPU quota",
            "note",
            f"the container may use {quota:.2f} CPUs of {usable}",
            "kernels will be stopped in mid-run and times will jump: lift the quota or use fewer threads",
            quota,
        )
    siblings = _read(_CPU / "topology/thread_siblings_list")
    if siblings and ("," in siblings or "-" in siblings):
        yield Check(
            "hyper-threads", "note", f"CPU 0 shares its core with {siblings}", "compare --threads", siblings
        )
    governor = _read(_CPU / "cpufreq/scaling_governor")
    if governor:
        fixed = governor == "performance"
        remedy = "" if fixed else "times move with the clock: cpupower frequency-set -g performance"
        yield Check("clock governor", "ok" if fixed else "note", governor, remedy, governor)
    load = os.getloadavg()[0]
    busy = load > 0.5 * usable
    yield Check(
        "load",
        "note" if busy else "ok",
        f"{load:.2f} over the last minute",
        "other programs run: measured times will be too long and noisy" if busy else "",
        load,
    )
    memory = psutil.virtual_memory()
    free = int(memory.available)
    state: State = (
        "bad" if free < _LEAST_MEMORY_BYTES else "note" if free < _COMFORTABLE_MEMORY_BYTES else "ok"
    )
    yield Check(
        "memory",
        state,
        f"{bytes_text(free)} free of {bytes_text(memory.total)}",
        "" if state == "ok" else "large models may be stopped: free some, or tune fewer tasks at once",
        {"available_bytes": free, "total_bytes": int(memory.total)},
    )


def _quota() -> float | None:
    words = (_read(_QUOTA) or "").split()
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit():
        return None
    return int(words[0]) / int(words[1])


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # virtual machines and other kernels lack some of these files
        return None
