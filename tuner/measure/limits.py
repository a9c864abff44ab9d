"""What a child may do: memory, files, and not to outlive its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

LOG_BYTES = 256 << 10
"""Most that a child may write to its output, and to any file."""

LIBRARY_BYTES = 64 << 20
"""Most that a child may write to one file when it builds libraries for remote devices."""


def die_with_parent(parent_pid: int) -> None:
    """End this process when the process that forked it ends.

    Args:
        parent_pid: The parent as it knew itself before the fork; if it is gone already, exit.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can hide."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def limit_this_process(memory_bytes: int, file_bytes: int = LOG_BYTES) -> None:
    """Limit memory, files and core dumps of this process and what it forks.

    Address space is limited relative to what is mapped already, because the compiler's libraries and the
    task's inputs are inherited. The process is also the first that the kernel ends when memory runs out.

    Args:
        memory_bytes: Address space beyond the present.
        file_bytes: Largest file that may be written, the output included.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    allowed = pages * resource.getpagesize() + memory_bytes
    _lower(resource.RLIMIT_AS, allowed)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with suppress(OSError):  # not every container may write it; the limit above holds all the same
        Path("/proc/self/oom_score_adj").write_text("1000")


def children_of(pid: int) -> list[int]:
    """Return the present children of a process, zombies included."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        pass
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


def end_group(pid: int) -> None:
    """Kill a process and its process group; one that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (limit, limit))
