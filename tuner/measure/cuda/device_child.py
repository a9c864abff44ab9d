"""The process that owns the device of a task: it alone has a CUDA context, and what breaks that ends it."""

from __future__ import annotations

from search_space.error_text import described
from search_space.tvm_api import tvm
from tuner.measure import messages as m
from tuner.measure.child import obey
from tuner.measure.cuda.build import build_device, gpu_of
from tuner.measure.cuda.code import pack
from tuner.measure.cuda.device_kernel import DeviceKernel
from tuner.measure.task_state import TaskState

_FLUSHES = 2
"""Caches are emptied by copying this many times their size."""


def run_device(channel: m.Channel, state: TaskState, payload: bytes) -> None:
    """Run what the tuner sends, or compute reference outputs, on the device.

    Args:
        channel: The connection to the tuner.
        state: The task.
        payload: :class:`tuner.measure.messages.OwnDevice` or ``BuildReference``.
    """
    message = m.decode(payload)
    if isinstance(message, m.OwnDevice):
        state.references.forbid_writing()
    try:
        kernel = open_device(state, message.settle_seconds if isinstance(message, m.OwnDevice) else 0.0)
        if isinstance(message, m.BuildReference):
            module = state.materialize(state.context, {"kind": "default"}).module
            made = build_device(module, state.target)
            kernel.attach(m.Attach(codes=[pack(made.code)]))
            channel.send(state.references.compute(kernel.call, state, message.budget_seconds))
            return
    except Exception as error:
        channel.send(m.Fault("run", described(error)))
        return
    channel.send(m.DeviceReady(kernel.name))
    obey(channel, kernel, state)


def open_device(state: TaskState, settle_seconds: float) -> DeviceKernel:
    """Create the CUDA context and put the task's buffers on the device.

    Raises:
        RuntimeError: If there is no device or it does not answer.
    """
    if not tvm.device(str(state.target.kind.name), 0).exist:
        raise RuntimeError("no CUDA device answers")
    return DeviceKernel(state, _FLUSHES * gpu_of(state.target).l2_bytes, settle_seconds)
