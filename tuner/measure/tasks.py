"""Open tasks: a task server each, its reference outputs, and how to get it back when it was killed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

from tuner.errors import JobFailed
from tuner.measure import messages as m
from tuner.measure.base import MeasureTask
from tuner.measure.options import MeasureOptions
from tuner.measure.supervisor import Process, Supervisor, require


@dataclass(eq=False, slots=True)
class OpenedTask:
    """A task that is being measured.

    Attributes:
        task: The task.
        memory: Memory file with the reference outputs; it outlives the task server.
        server: The task server.
        is_positive: Whether inputs are drawn positive.
        sets: Input sets that have reference outputs.
        reference: Which program gave them.
        bound_seconds: A time that no candidate of interest exceeds: the fastest full run seen at opening.
        reduction: Terms summed into one element of an output.
        has_worked: Whether any candidate ever gave a time.
        stages: Seconds by stage of opening.
        device_first: Whether the reference outputs are computed on the device, because the CPU is too slow.
        is_prepared: Whether the task server said that it can fork children that build plans.
        referring: The process that computes reference outputs, where it was forked ahead.
    """

    task: MeasureTask
    memory: int
    server: Process | None = None
    is_positive: bool = False
    sets: tuple[str, ...] = ()
    reference: str = "reordered"
    bound_seconds: float | None = None
    reduction: float = 1.0
    has_worked: bool = False
    stages: dict[str, float] = field(default_factory=dict)
    device_first: bool = False
    is_prepared: bool = False
    referring: Process | None = None


class TaskTable:
    """Opens tasks in the fork server and keeps them open.

    Args:
        supervisor: The fork server.
        options: Limits.
        remote: ``host:port/key`` of remote devices; empty for this machine.
        linker: Compiler driver that links libraries for remote devices.
    """

    def __init__(
        self, supervisor: Supervisor, options: MeasureOptions, remote: str = "", linker: str = ""
    ) -> None:
        self._remote = remote
        self._linker = linker
        self._supervisor = supervisor
        self._options = options
        self._tasks: dict[str, OpenedTask] = {}
        self.restarts = 0

    def __getitem__(self, key: str) -> OpenedTask:
        """Return an open task.

        Raises:
            KeyError: If it is not open.
        """
        if key not in self._tasks:
            raise KeyError(f"task {key} is not open: call open() first")
        return self._tasks[key]

    def open(self, task: MeasureTask, needs_references: bool = True) -> OpenedTask:
        """Prepare a task and compute its reference outputs.

        Args:
            task: The task.
            needs_references: Whether candidates will be run and not only built.

        Raises:
            JobFailed: If it cannot be prepared or its untuned program cannot be run.
        """
        opened = OpenedTask(task, os.memfd_create("tirtune-references"))
        self._tasks[task.key] = opened
        try:
            server = self._fork_server(opened)
            if needs_references and json.loads(task.target).get("kind") == "llvm":
                # Asked for at once: the outputs are computed while the server derives the sketches.
                opened.referring = self._fork_reference(server, opened.reference)
            self._await_ready(opened)
            if needs_references:
                opened.reference = "device" if opened.device_first else "reordered"
                if opened.device_first:
                    self._await_prepared(opened)  # what the device runs is made from the sketches
                self.compute_references(opened)
            self._await_prepared(opened)
        except BaseException:
            self.drop(task.key)
            raise
        return opened

    def server(self, opened: OpenedTask) -> Process:
        """Return the task's server, started again if it is gone.

        Raises:
            JobFailed: If it cannot be prepared.
        """
        if opened.server is not None and not opened.server.is_gone:
            return opened.server
        if opened.server is not None:
            self.restarts += 1
            self._supervisor.end(opened.server)
        server = self._fork_server(opened)
        self._await_ready(opened)
        self._await_prepared(opened)
        return server

    def _fork_server(self, opened: OpenedTask) -> Process:
        task, options = opened.task, self._options
        message = m.OpenTask(
            program=task.program,
            target=task.target,
            name=task.name,
            threads=task.threads,
            entry=options.entry,
            rules=options.rules,
            memory_bytes=options.memory_bytes,
            seed=options.seed,
            is_positive=opened.is_positive,
            remote=self._remote,
            linker=self._linker,
        )
        server = self._supervisor.fork(self._supervisor.root(), "task", message, opened.memory)
        opened.server, opened.is_prepared = server, False
        return server

    def _await_ready(self, opened: OpenedTask) -> None:
        ready = self._await(opened)
        assert isinstance(ready, m.TaskReady)
        opened.reduction = ready.reduction
        is_slow = ready.reference_seconds > self._options.reference_budget_seconds
        opened.device_first = ready.is_device and is_slow

    def _await_prepared(self, opened: OpenedTask) -> None:
        if not opened.is_prepared:
            self._await(opened)
        opened.is_prepared = True

    def _await(self, opened: OpenedTask) -> m.Message:
        assert opened.server is not None
        reply = self._supervisor.wait(opened.server, self._options.prepare_timeout_seconds)
        return require(opened.server, reply, f"preparing task {opened.task.name}")

    def _fork_reference(self, server: Process, kind: str) -> Process:
        request = m.BuildReference(kind, self._options.reference_budget_seconds)
        return self._supervisor.fork(server, "device" if kind == "device" else "reference", request)

    def compute_references(self, opened: OpenedTask) -> None:
        """Fill the memory with reference outputs, with positive inputs if signed ones give NaN.

        Raises:
            JobFailed: If neither the reordered nor the untuned program gives any.
        """
        reply = self._reference(opened)
        if reply.has_nan and not opened.is_positive:
            self._set_positive(opened, True)
            positive = self._reference(opened)
            if positive.has_nan:
                self._set_positive(opened, False)
                reply = self._reference(opened)
            else:
                reply = positive
        opened.sets = tuple(reply.sets)
        opened.bound_seconds = reply.seconds

    def drop(self, key: str) -> None:
        """Close a task."""
        opened = self._tasks.pop(key, None)
        if opened is None:
            return
        for process in (opened.referring, opened.server):
            if process is not None:
                self._supervisor.end(process)
        os.close(opened.memory)

    def close(self) -> None:
        """Close every task."""
        for key in list(self._tasks):
            self.drop(key)

    def _set_positive(self, opened: OpenedTask, is_positive: bool) -> None:
        opened.is_positive = is_positive
        if opened.server is not None:
            self._supervisor.end(opened.server)
            opened.server = None

    def _reference(self, opened: OpenedTask) -> m.Referenced:
        reordered = ("reordered",) if opened.reference == "device" else ()
        kinds = tuple(dict.fromkeys((opened.reference, *reordered, "untuned")))
        for kind in kinds:
            opened.reference = kind
            process, opened.referring = opened.referring, None
            process = process or self._fork_reference(self.server(opened), kind)
            reply = self._supervisor.wait(process, self._options.reference_timeout_seconds)
            try:
                if isinstance(reply, m.Referenced):
                    return reply
                if kind == kinds[-1]:
                    require(process, reply, f"running the untuned program of {opened.task.name}")
            finally:
                self._supervisor.end(process)
        raise JobFailed(f"running the untuned program of {opened.task.name} gave no outputs")
