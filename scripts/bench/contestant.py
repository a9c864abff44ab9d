"""The parent's end of one side: a process that is stopped whenever it is not its turn."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tuner.closing import Closing

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
HIDDEN = Path(__file__).resolve().parent / "hidden"
"""A folder in front of the installed packages, for processes that must not load some of them."""


class SideFailed(Exception):
    """A side's process died or did not answer."""


class Contestant(Closing):
    """One side with its process.

    A stopped process takes no processor time, whatever its thread pools do between calls: no library
    has to be told not to spin, which would slow it during its own turn.

    Args:
        side: Name of a side.
        threads: Threads that its kernels use.
        label: What tables call it; the side when absent.
        log: Where its messages go.
        worker: Module that the process runs.
    """

    def __init__(
        self,
        side: str,
        threads: int,
        label: str = "",
        log: IO[Any] | None = None,
        worker: str = "scripts.bench.worker",
    ) -> None:
        self.side = side
        self.label = label or side
        self._process = subprocess.Popen(
            [sys.executable, "-m", worker, side],
            cwd=ROOT,
            env=environment(threads, side),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log if log is not None else subprocess.DEVNULL,
        )
        self._pending = b""

    def ask(self, message: Mapping[str, Any], timeout_seconds: float = 600.0) -> dict[str, Any]:
        """Let the process go on, send it a message, wait for the answer, and stop it.

        Raises:
            SideFailed: If there is no answer.
        """
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            raise SideFailed(f"the process of {self.label} was ended")
        try:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ProcessLookupError) as error:
            raise SideFailed(f"the process of {self.label} is gone") from error
        reply: dict[str, Any] = json.loads(self._line(timeout_seconds))
        self._process.send_signal(signal.SIGSTOP)
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # what was still to be written has no reader any more
                    stream.close()

    def _line(self, timeout_seconds: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise SideFailed(f"{self.label} gave no answer within {timeout_seconds:.0f} s")
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise SideFailed(f"the process of {self.label} ended with code {self._process.wait()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line


def environment(threads: int, side: str = "") -> dict[str, str]:
    """Return the environment in which a side runs: the same thread count for every library.

    Args:
        threads: Threads.
        side: Name of the side; only PyTorch's own sees PyTorch (see ``scripts/bench/hidden/torch.py``).
    """
    names = ("TVM_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    found = {**os.environ, **dict.fromkeys(names, str(threads))}
    if not side.startswith("torch"):
        paths = [str(HIDDEN), *filter(None, [os.environ.get("PYTHONPATH")])]
        found["PYTHONPATH"] = os.pathsep.join(paths)
    return found


def run_script(module: str, words: Sequence[object], threads: int, output: Path) -> str:
    """Run a module of the repository to its end, in a process of its own.

    Args:
        module: Its name.
        words: Its arguments.
        threads: Threads of every library in it.
        output: Where everything that it prints goes.

    Returns:
        How it ended and the last line that it printed; empty if it ended well.
    """
    with output.open("w") as file:
        code = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=ROOT,
            env=environment(threads),
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    tail = output.read_text(errors="replace").strip().splitlines()[-1:]
    return f"ended with code {code}: {' '.join(tail)}" if code else ""
