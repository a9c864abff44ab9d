"""The fork server: a process with the compiler loaded that forks others, and does nothing else itself.

Two kinds share one loop. The root server is started once (``python -m tuner.measure.server``); it forks a
task server per task, which prepares that task once and forks a child per candidate. A server has one thread,
never runs a parallel kernel (TVM's pool would not survive a fork) and holds no deadline: the tuner does.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from search_space.error_text import described
from search_space.tvm_api import IRModule, te, trust_schedule_calls, tvm
from search_space.workload import workload_from_program
from tuner.measure import child
from tuner.measure import messages as m
from tuner.measure.buffers import Arguments
from tuner.measure.build import build_timed
from tuner.measure.limits import LIBRARY_BYTES, LOG_BYTES, adopt_orphans, children_of, end_group
from tuner.measure.references import References, reference_seconds
from tuner.measure.task_state import TaskState

Role = Callable[[m.Channel, bytes, list[int], int], None]
"""What a forked process becomes: its channel, its payload, its descriptors (the log first), its parent."""


class ForkLoop:
    """Forks on request, says when a process ended, and collects what it left behind.

    Args:
        channel: The connection to the tuner; its end ends the server and every process it forked.
        roles: What can be forked.
    """

    def __init__(self, channel: m.Channel, roles: dict[str, Role]) -> None:
        self._channel = channel
        self._roles = roles
        self._pids: dict[int, int] = {}
        self._watched: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def run(self) -> None:
        """Serve until the tuner goes."""
        try:
            while not self._channel.is_closed:
                for descriptor, _ in self._poll.poll():
                    if descriptor == self._channel.fileno():
                        for message in self._channel.receive():
                            if not self._handle(message):
                                return
                    else:
                        self._announce_exit(descriptor)
        finally:
            for token in list(self._pids):
                self._reap(token)

    def serve_waiting(self) -> None:
        """Do what was asked already, and come back."""
        if select.select([self._channel.fileno()], [], [], 0)[0]:
            for message in self._channel.receive():
                self._handle(message)

    def _handle(self, message: m.Message) -> bool:
        if isinstance(message, m.Fork):
            self._fork(message)
        elif isinstance(message, m.Reap):
            self._reap(message.token)
        return not isinstance(message, m.Quit)

    def _fork(self, message: m.Fork) -> None:
        taken = [self._channel.descriptors.popleft() for _ in range(message.descriptors)]
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(message, taken, parent)
        for descriptor in taken:
            os.close(descriptor)
        self._pids[message.token] = pid
        watch = os.pidfd_open(pid)
        self._watched[watch] = message.token
        self._poll.register(watch, select.POLLIN)
        self._channel.send(m.Forked(message.token, pid))

    def _become(self, message: m.Fork, taken: list[int], parent: int) -> None:
        status = 70
        try:
            self._channel.close()
            for watch in self._watched:
                os.close(watch)
            channel = m.Channel(socket.socket(fileno=taken[0]))
            self._roles[message.role](channel, message.payload, taken[1:], parent)
            status = 0
        except (EOFError, BrokenPipeError):
            status = 0
        except MemoryError:
            with suppress(BaseException):
                channel.send(m.Fault("run", "out of memory"))
        except BaseException as error:
            traceback.print_exc()
            sys.stderr.flush()
            with suppress(BaseException):
                channel.send(m.Fault("run", described(error)))
        finally:
            os._exit(status)

    def _announce_exit(self, watch: int) -> None:
        token = self._watched.pop(watch)
        self._poll.unregister(watch)
        if token not in self._pids:  # it was collected before its end was noticed
            os.close(watch)
            return
        result = os.waitid(os.P_PIDFD, watch, os.WEXITED | os.WNOWAIT)
        os.close(watch)
        is_exit = result is not None and result.si_code == os.CLD_EXITED
        status = 0 if result is None else result.si_status
        self._channel.send(m.Exited(token, status if is_exit else 0, 0 if is_exit else status))

    def _reap(self, token: int) -> None:
        pid = self._pids.pop(token, None)
        if pid is None:
            return
        end_group(pid)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        # Descendants that left the group were handed to this process when their parent ended.
        known = set(self._pids.values())
        for _ in range(100):
            strangers = [p for p in children_of(os.getpid()) if p not in known]
            if not strangers:
                return
            for stranger in strangers:
                end_group(stranger)
                with suppress(ChildProcessError):
                    os.waitpid(stranger, 0)


def serve_task(channel: m.Channel, payload: bytes, descriptors: list[int], parent: int) -> None:
    """Be a task server: prepare the task, then fork its children."""
    child.isolate(channel, descriptors[0], parent, None)
    adopt_orphans()
    opened = m.decode(payload)
    assert isinstance(opened, m.OpenTask)
    try:
        state = prepare_task(opened, descriptors[1])
    except Exception as error:
        channel.send(m.Fault("generate", described(error)))
        return
    _freeze()
    channel.send(
        m.TaskReady(state.arguments.output_bytes, state.reduction, state.is_device, state.reference_seconds)
    )

    def role(run: Callable[[m.Channel, TaskState, bytes], None]) -> Role:
        def start(own: m.Channel, payload: bytes, descriptors: list[int], parent: int) -> None:
            file_bytes = LIBRARY_BYTES if opened.remote else LOG_BYTES
            child.isolate(own, descriptors[0], parent, opened.memory_bytes, file_bytes)
            run(own, state, payload)

        return start

    def start_device(own: m.Channel, payload: bytes, descriptors: list[int], parent: int) -> None:
        from tuner.measure.cuda.device_child import run_device

        # A driver maps far more addresses than there is memory: no limit fits.
        child.isolate(own, descriptors[0], parent, None)
        run_device(own, state, payload)

    roles = {"plan": role(child.run_plan), "reference": role(child.run_reference), "device": start_device}
    loop = ForkLoop(channel, roles)
    # Reference outputs need no sketches: the two are made at the same time where that was asked for.
    loop.serve_waiting()
    try:
        state = with_context(state)
    except Exception as error:
        channel.send(m.Fault("generate", described(error)))
    else:
        _freeze()
        channel.send(m.Prepared())
    loop.run()


def _freeze() -> None:
    """Keep what is there out of the collector's sight, so that children do not copy it."""
    gc.collect()
    gc.freeze()


def prepare_task(opened: m.OpenTask, reference_memory: int) -> TaskState:
    """Do once what every child would do: parse, allocate, draw inputs; the rest is :func:`with_context`.

    Args:
        opened: The task.
        reference_memory: Descriptor of the memory for reference outputs.
    """
    module = importlib.import_module(opened.entry.partition(":")[0])
    workload = workload_from_program(opened.program, opened.name)
    arguments = Arguments.allocate(workload.args)
    arguments.fill("random", opened.seed, opened.is_positive)
    elements = sum(spec.elements for spec in workload.outputs)
    target = tvm.target.Target(opened.target)
    canary = b""
    if str(target.kind.name) == "cuda" and not opened.remote:
        from tuner.measure.cuda.canary import canary_code

        # The compiler is loaded and used once here, so that every child inherits it warm.
        canary = canary_code(target)
    return TaskState(
        opened=opened,
        context=None,
        materialize=module.materialize,
        target=target,
        arguments=arguments,
        references=References(reference_memory, arguments),
        reduction=workload.flops / max(1, 2 * elements),
        workload=workload,
        reference_seconds=reference_seconds(workload),
        canary=canary,
    )


def with_context(state: TaskState) -> TaskState:
    """Call the entry point, which derives what the plans of the task are made from."""
    opened = state.opened
    module_name, _, function_name = opened.entry.partition(":")
    own_rules = (opened.rules,) if opened.rules else ()
    prepare = getattr(importlib.import_module(module_name), function_name)
    return replace(state, context=prepare(opened.program, opened.target, *own_rules))


def serve_canary(channel: m.Channel, payload: bytes, descriptors: list[int], parent: int) -> None:
    """Be the child that runs the canary."""
    child.isolate(channel, descriptors[0], parent, None)
    child.run_canary(channel, payload)


def warm_up() -> None:
    """Build a tiny serial kernel, so that forked processes inherit a compiler that has been used."""
    source = te.placeholder((8,), name="source")
    result = te.compute((8,), lambda i: source[i] + 1.0, name="result")
    function = te.create_prim_func([source, result]).with_attr("global_symbol", "main")
    spec: dict[str, Any] = {"kind": "llvm", "mcpu": str(tvm.target.codegen.llvm_get_system_cpu())}
    build_timed(IRModule({"main": function}), tvm.target.Target(spec))


def main() -> None:
    """Run the root server on the connected socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    channel = m.Channel(socket.socket(fileno=int(sys.argv[1])))
    trust_schedule_calls()
    warm_up()
    _freeze()
    ForkLoop(channel, {"task": serve_task, "canary": serve_canary}).run()


if __name__ == "__main__":
    main()
