"""What a forked child does: build one kernel, then run, time and check it on command.

A child trusts nobody and nobody trusts it: it has its own session, limits and output file, and whatever
happens in it ends with it. It never returns into the server that forked it.
"""

from __future__ import annotations

import gc
import json
import os
import time
from typing import Any

import numpy as np

from search_space.error_text import described
from search_space.hardware import host_cpu
from search_space.tvm_api import IRModule, load_json, tvm
from tuner.measure import messages as m
from tuner.measure.base import Verdict
from tuner.measure.build import TooLarge, build_timed
from tuner.measure.check import compare, tolerance
from tuner.measure.kernels import Kernel, LocalKernel, local_kernel, place_threads
from tuner.measure.limits import LOG_BYTES, die_with_parent, limit_this_process
from tuner.measure.task_state import TaskState
from tuner.measure.weights import without_packing


def isolate(
    channel: m.Channel, log: int, parent_pid: int, memory_bytes: int | None, file_bytes: int = LOG_BYTES
) -> None:
    """Cut a freshly forked process off from its parent: session, output, limits.

    Args:
        channel: The connection to keep.
        log: Descriptor that becomes standard output and error.
        parent_pid: The parent, with which this process ends.
        memory_bytes: Limit on further memory; ``None`` for a task server, which has none.
        file_bytes: Largest file that the process may write.
    """
    os.setsid()
    die_with_parent(parent_pid)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    channel.connection.setblocking(True)
    if memory_bytes is not None:
        limit_this_process(memory_bytes, file_bytes)
        gc.disable()


def run_plan(channel: m.Channel, state: TaskState, payload: bytes) -> None:
    """Be the child of one candidate: build it, then do as told until the connection ends."""
    message = m.decode(payload)
    assert isinstance(message, m.BuildPlan)
    state.references.forbid_writing()
    os.environ["TVM_NUM_THREADS"] = str(state.opened.threads)
    if state.opened.remote:
        from tuner.measure.rpc.remote_kernel import build_remote
    if state.is_device:
        from tuner.measure.cuda.build import build_device
        from tuner.measure.cuda.code import pack
    began = time.process_time()
    try:
        candidate = state.materialize(state.context, json.loads(message.plan))
    except Exception as error:
        channel.send(m.Fault("generate", described(error)))
        return
    generated = time.process_time()
    scale = float(getattr(candidate, "tolerance_scale", 1.0))
    kernel: Kernel | None = None
    code, facts = b"", {}
    try:
        if state.opened.remote:
            kernel, stages = build_remote(candidate.module, message.library, state, scale)
        elif state.is_device:
            made = build_device(candidate.module, state.target, tolerance_scale=scale)
            code, facts, stages = pack(made.code), made.facts, made.stages
        else:
            module, packing = without_packing(candidate.module, state.workload, state.target)
            built = build_timed(module, state.target)
            state.arguments.poison_outputs()
            kernel, stages = local_kernel(built, state.arguments, packing, scale), built.stages
    except TooLarge as error:
        channel.send(m.Fault("build", str(error)))
        return
    except Exception as error:
        channel.send(m.Fault("build", described(error)))
        return
    stages = {"generate": generated - began, **stages}
    channel.send(m.Built(stages, candidate.trace, candidate.base, code, facts))
    if kernel is not None:
        obey(channel, kernel, state)


def run_reference(channel: m.Channel, state: TaskState, payload: bytes) -> None:
    """Be the child that computes reference outputs into the shared memory."""
    from tuner.measure.reference import reordered, with_partial_sums

    message = m.decode(payload)
    assert isinstance(message, m.BuildReference)
    os.environ["TVM_NUM_THREADS"] = str(state.opened.threads)
    try:
        module = IRModule({"main": load_json(state.opened.program).with_attr("global_symbol", "main")})
        if message.kind == "partial sums":
            module = with_partial_sums(module)
        if message.kind != "untuned":
            module = reordered(module)
        function = build_timed(module, reference_target(state)).function
        tensors = [buffer.tensor() for buffer in state.arguments.buffers]
        channel.send(state.references.compute(lambda: function(*tensors), state, message.budget_seconds))
    except Exception as error:
        channel.send(m.Fault("run", described(error)))


def run_canary(channel: m.Channel, payload: bytes) -> None:
    """Be the child that runs the fixed kernel from which drift of the machine is read."""
    from tuner.measure.canary import canary_kernel

    message = m.decode(payload)
    assert isinstance(message, m.BuildCanary)
    os.environ["TVM_NUM_THREADS"] = str(message.threads)
    built, tensors = canary_kernel(message.target, message.threads)
    channel.send(m.Built(built.stages))
    obey(channel, LocalKernel(built, tensors), None)


def reference_target(state: TaskState) -> Any:
    """Return the target of the reference program: it always runs on this machine."""
    runs_elsewhere = state.opened.remote or state.is_device
    return tvm.target.Target({"kind": "llvm", "mcpu": host_cpu()}) if runs_elsewhere else state.target


def obey(channel: m.Channel, kernel: Kernel, state: TaskState | None) -> None:
    """Do with a kernel what the tuner says until it says something else.

    Args:
        channel: The connection to the tuner.
        kernel: What is run.
        state: The task, without which outputs are not checked.
    """
    while True:
        message = channel.wait()
        try:
            if isinstance(message, m.First):
                if isinstance(kernel, LocalKernel):
                    place_threads()
                channel.send(m.Ran([kernel.first()]))
            elif isinstance(message, m.Repeat):
                channel.send(m.Ran(kernel.repeat(message)))
            elif isinstance(message, m.Check) and state is not None:
                channel.send(m.Checked(_check(kernel, message.sets, state)))
            elif isinstance(message, m.Attach):
                channel.send(m.Built(kernel.attach(message)))
            else:
                return
        except ConnectionError as error:
            channel.send(m.Fault("crash", str(error)))
            return
        except Exception as error:
            channel.send(m.Fault("run", described(error)))
            return


def _check(kernel: Kernel, sets: list[str], state: TaskState) -> Verdict:
    """Compare outputs on input sets; ``random`` last, because later runs are timed with its inputs."""
    has_run = sets == ["random"] and kernel.leaves_outputs
    arguments, tolerance_scale = state.arguments, kernel.tolerance_scale
    worst_abs = worst_rel = allowed = 0.0
    messages: list[str] = []
    for input_set in sorted(sets, key=lambda name: name == "random"):
        expected = state.references.expected(input_set, arguments)
        if not has_run:
            for spec, buffer, wanted in zip(arguments.specs, arguments.buffers, expected, strict=True):
                buffer.poison() if spec.is_output else np.copyto(buffer.raw, wanted)
            kernel.call()
        noises = state.references.noise(input_set)
        buffers = zip(arguments.specs, arguments.buffers, expected, noises, strict=True)
        for spec, buffer, wanted, noise in buffers:
            if not spec.is_output:
                if not np.array_equal(buffer.raw, wanted):
                    messages.append(f"changed input {spec.name}")
                continue
            limit = tolerance(spec.dtype, state.reduction, float(noise)) * tolerance_scale
            reference = wanted.view(buffer.array.dtype).reshape(buffer.shape)
            # Another algorithm (a rewrite with a scale) need not be exact on whole numbers.
            strictness = "random" if tolerance_scale > 1.0 and input_set == "integers" else input_set
            found = compare(buffer.array, reference, spec.dtype, limit, spec.name, strictness)
            worst_abs = max(worst_abs, found.max_abs_error)
            worst_rel = max(worst_rel, found.max_rel_error)
            allowed = max(allowed, limit)
            if found.message:
                messages.append(found.message)
    messages += [f"wrote outside of buffer {name}" for name in arguments.broken_guards()]
    checks = (*sets, "inputs", "guards") if kernel.has_guards else (*sets, "inputs")
    return Verdict(not messages, worst_abs, worst_rel, allowed, checks, "; ".join(messages[:3]))
