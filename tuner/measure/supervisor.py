"""The tuner's side of the fork server: starts it, forks through it, and decides who lives how long."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeAlias

from tuner.errors import JobFailed
from tuner.measure import messages as m
from tuner.measure.clock import ActiveTime, Clock, MonotonicClock
from tuner.measure.limits import LOG_BYTES, end_group

_TICK_SECONDS = 0.1
_SIGNALS = {s.value: s.name for s in signal.Signals}


@dataclass(eq=False, slots=True)
class Process:
    """A forked process as the tuner sees it.

    Attributes:
        token: The tuner's number for it.
        parent: The server that forked it, ``None`` for the root server.
        channel: The connection to it.
        log: Memory file with its output.
        pid: Its process id once known.
        inbox: Messages from it that nobody has taken.
        exit: How it ended, once its server said so.
        is_gone: Whether it ended or must be taken for dead.
        was_killed: Whether the tuner ended it, or will as soon as it knows its pid.
        is_stopped: Whether it is paused.
    """

    token: int
    parent: Process | None
    channel: m.Channel
    log: int
    pid: int | None = None
    inbox: deque[m.Message] = field(default_factory=deque)
    exit: m.Exited | None = None
    is_gone: bool = False
    was_killed: bool = False
    is_stopped: bool = False

    def log_tail(self, length: int = 300) -> str:
        """Return the end of what the process wrote, on one line."""
        try:
            size = min(os.fstat(self.log).st_size, LOG_BYTES)
            text = os.pread(self.log, 2000, max(0, size - 2000)).decode(errors="replace")
        except OSError:
            return ""
        return " ".join(text.split())[-length:]

    def obituary(self) -> str:
        """Say how the process ended."""
        if self.exit is None:
            text = "the fork server was killed"
        elif self.exit.signal:
            text = f"ended by {_SIGNALS.get(self.exit.signal, f'signal {self.exit.signal}')}"
        else:
            text = f"exited with status {self.exit.status}"
        tail = self.log_tail()
        return f"{text}; its last output: {tail}" if tail else text


class Supervisor:
    """Owns the root server and everything below it.

    Args:
        clock: Source of time for deadlines.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.time = ActiveTime(clock or MonotonicClock())
        self.starts = 0
        self._tokens = count(1)
        self._poll = select.poll()
        self._by_descriptor: dict[int, Process] = {}
        self._by_token: dict[int, Process] = {}
        self._root: Process | None = None
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def server_pid(self) -> int | None:
        """Process id of the root server, ``None`` while there is none."""
        return None if self._root is None else self._root.pid

    def root(self) -> Process:
        """Return the root server, started if there is none."""
        if self._root is not None and not self._root.is_gone:
            return self._root
        self._end_root()
        self.starts += 1
        self._popen, channel, log = _take_ahead() or _start_root()
        self._root = self._adopt(Process(0, None, channel, log, self._popen.pid))
        return self._root

    def fork(self, server: Process, role: str, payload: m.Message, *descriptors: int) -> Process:
        """Fork a process from a server; its messages start to arrive while the caller polls.

        Args:
            server: The root server or a task server.
            role: What the process becomes.
            payload: The role's own message.
            descriptors: Further descriptors for it; they stay open here.
        """
        ours, theirs = socket.socketpair()
        log = os.memfd_create("tirtune-child-log")
        process = self._adopt(Process(next(self._tokens), server, m.Channel(ours), log))
        self._by_token[process.token] = process
        request = m.Fork(process.token, role, m.encode(payload), 2 + len(descriptors))
        try:
            server.channel.send(request, (theirs.fileno(), log, *descriptors))
        except OSError:
            self._lose(server)
        finally:
            theirs.close()
        return process

    def poll(self, timeout_seconds: float = _TICK_SECONDS) -> None:
        """Wait for news at most this long and file it in the inboxes."""
        timeout_seconds = max(0.0, min(timeout_seconds, _TICK_SECONDS))
        events = self._poll.poll(timeout_seconds * 1e3)
        self.time.tick(timeout_seconds)
        for descriptor, _ in events:
            process = self._by_descriptor.get(descriptor)
            if process is not None:
                self._read(process)

    def wait(self, process: Process, timeout_seconds: float) -> m.Message | None:
        """Wait for the next message of one process.

        Args:
            process: Whom to wait for.
            timeout_seconds: Active seconds to wait; a jump of the clock does not count.

        Returns:
            The message; ``None`` when the process is gone or the time is over (see ``is_gone``).
        """
        deadline = self.time.seconds + timeout_seconds
        self.time.restart()
        while not process.inbox:
            left = deadline - self.time.seconds
            if process.is_gone or left <= 0:
                return None
            self.poll(left)
        return process.inbox.popleft()

    def tell(self, process: Process, message: m.Message) -> None:
        """Send a message; a process that is gone is noticed by whoever waits for its answer."""
        with suppress(OSError):
            process.channel.send(message)

    def end(self, process: Process) -> None:
        """Kill a process and everything it forked, and forget it."""
        if process.parent is None:
            self._end_root()
            return
        if process.is_gone and process.token not in self._by_token:
            return
        process.was_killed = process.was_killed or not process.is_gone
        if process.pid is not None and process.exit is None and not process.parent.is_gone:
            end_group(process.pid)
        if not process.parent.is_gone:
            self.tell(process.parent, m.Reap(process.token))
        self._forget(process)

    def stop(self, process: Process, is_stopped: bool) -> None:
        """Pause a process and its group, or let it go on."""
        if process.pid is None or process.is_gone or process.is_stopped == is_stopped:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGSTOP if is_stopped else signal.SIGCONT)
            process.is_stopped = is_stopped

    def close(self) -> None:
        """End every process."""
        self._end_root()

    def _adopt(self, process: Process) -> Process:
        descriptor = process.channel.fileno()
        process.channel.connection.settimeout(10.0)
        self._by_descriptor[descriptor] = process
        self._poll.register(descriptor, select.POLLIN)
        return process

    def _read(self, process: Process) -> None:
        try:
            messages = process.channel.receive()
        except ConnectionError:
            self._condemn(process)
            process.channel.is_closed = True
            messages = []
        for message in messages:
            if isinstance(message, m.Forked):
                self._note_fork(message)
            elif isinstance(message, m.Exited):
                self._note_exit(message)
            else:
                process.inbox.append(message)
        if process.channel.is_closed:
            self._unregister(process)
            if process.parent is None:
                self._lose(process)

    def _note_fork(self, message: m.Forked) -> None:
        process = self._by_token.get(message.token)
        if process is not None:
            process.pid = message.pid
            if process.was_killed:
                end_group(message.pid)

    def _condemn(self, process: Process) -> None:
        # Its pid may not be known yet: then it ends as soon as it is.
        process.was_killed = True
        if process.pid is not None:
            end_group(process.pid)

    def _note_exit(self, message: m.Exited) -> None:
        process = self._by_token.get(message.token)
        if process is None or process.parent is None:
            return
        process.exit = message
        if not process.channel.is_closed:
            self._drain(process)
        self._lose(process)
        if process.pid is not None:
            end_group(process.pid)

    def _drain(self, process: Process) -> None:
        # What it said before it ended is still in the socket; forked descendants may hold it open.
        process.channel.connection.setblocking(False)
        while not process.channel.is_closed:
            before = len(process.inbox)
            try:
                process.inbox.extend(process.channel.receive())
            except ConnectionError:
                return
            if len(process.inbox) == before:
                return

    def _lose(self, process: Process) -> None:
        """Take a process for dead, with everything below it."""
        if process.is_gone:
            return
        process.is_gone = True
        self._unregister(process)
        for other in list(self._by_token.values()):
            if other.parent is process and not other.is_gone:
                if other.pid is not None:
                    end_group(other.pid)
                self._lose(other)

    def _unregister(self, process: Process) -> None:
        for descriptor, other in list(self._by_descriptor.items()):
            if other is process:
                self._poll.unregister(descriptor)
                del self._by_descriptor[descriptor]

    def _forget(self, process: Process) -> None:
        self._lose(process)
        self._by_token.pop(process.token, None)
        process.channel.close()
        with suppress(OSError):
            os.close(process.log)
        process.log = -1

    def _end_root(self) -> None:
        root, popen = self._root, self._popen
        self._root = self._popen = None
        if root is None or popen is None:
            return
        self._lose(root)
        for process in list(self._by_token.values()):
            self._forget(process)
        root.channel.close()
        try:
            popen.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            end_group(popen.pid)
            popen.wait()
        os.close(root.log)


_Started: TypeAlias = "tuple[subprocess.Popen[bytes], m.Channel, int]"
_AHEAD: list[_Started] = []


def start_ahead() -> None:
    """Start the root server of the next supervisor: it loads the compiler while the caller does so too.

    One that is never used ends with this process.
    """
    if not _AHEAD:
        _AHEAD.append(_start_root())


def _take_ahead() -> _Started | None:
    while _AHEAD:
        popen, channel, log = _AHEAD.pop()
        if popen.poll() is None:
            return popen, channel, log
        channel.close()
        os.close(log)
    return None


def _start_root() -> _Started:
    ours, theirs = socket.socketpair()
    log = os.memfd_create("tirtune-server-log")
    paths = [path or str(Path.cwd()) for path in sys.path]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), OPENBLAS_NUM_THREADS="1")
    environment.setdefault("OMP_NUM_THREADS", "1")
    popen = subprocess.Popen(
        [sys.executable, "-m", "tuner.measure.server", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    theirs.close()
    return popen, m.Channel(ours), log


def require(process: Process, message: m.Message | None, doing: str) -> m.Message:
    """Return a message that must be there.

    Raises:
        JobFailed: If the process failed, died or did not answer in time, saying which.
    """
    if isinstance(message, m.Fault):
        raise JobFailed(f"{doing} failed: {message.message}")
    if message is None:
        why = process.obituary() if process.is_gone else "it did not finish in time"
        raise JobFailed(f"{doing} failed: {why}")
    return message
