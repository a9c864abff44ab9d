"""Candidates on the device, driven by the one process of a task that owns it."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from search_space.tvm_api import load_json, tvm
from tuner.measure.cuda.build import HOST
from tuner.measure.cuda.code import DeviceCode, unpack
from tuner.measure.cuda.device_buffer import DeviceBuffer
from tuner.measure.cuda.settling import CANARY, has_settled
from tuner.measure.messages import Attach, Repeat
from tuner.measure.task_state import TaskState

_IDLE_SECONDS = 0.05
"""After a pause as long as this the clocks may have gone down; the canary brings them up again."""

_LONG_SECONDS = 0.02
"""A first call this long needs no second one to be timed: what the CPU adds does not show."""


class DeviceKernel:
    """What the tuner gave this process to run; see :class:`tuner.measure.kernels.Kernel`.

    The task's buffers lie on the device with their guard bands, as they lie in the CPU's memory.

    Args:
        state: The task.
        flush_bytes: What is copied to empty the caches.
        settle_seconds: Longest warm-up until the clocks hold still; 0 for none.

    Raises:
        RuntimeError: If the device does not answer.
    """

    leaves_outputs = False
    has_guards = True

    def __init__(self, state: TaskState, flush_bytes: int, settle_seconds: float) -> None:
        self.tolerance_scale = 1.0
        self._state = state
        self._flush_bytes = flush_bytes
        self._settle_seconds = settle_seconds
        self._device = tvm.device(str(state.target.kind.name), 0)
        self._libraries: list[Any] = []
        self._canary: Any = None
        self._used = 0.0
        self._buffers = [DeviceBuffer(buffer, self._device) for buffer in state.arguments.buffers]
        self._tensors = [buffer.tensor for buffer in self._buffers]
        self._upload()

    @property
    def name(self) -> str:
        """The device's name."""
        return str(self._device.device_name)

    def attach(self, order: Attach) -> dict[str, float]:
        """Load candidates, put the random inputs back, and wait until the clocks hold still."""
        began = time.perf_counter()
        codes = [unpack(data) for data in order.codes]
        self._libraries = [load_code(code) for code in codes]
        self.tolerance_scale = codes[0].tolerance_scale
        self._restore()
        loaded = time.perf_counter()
        if loaded - self._used > _IDLE_SECONDS:
            self._settle()
        return {"load": loaded - began, "settle": time.perf_counter() - loaded}

    def first(self) -> float:
        """Call once; a short kernel a second time, because the first call also loaded it."""
        began = time.perf_counter()
        self._libraries[0]["main"](*self._tensors)
        self._device.sync()
        seconds = time.perf_counter() - began
        return seconds if seconds > _LONG_SECONDS else min(seconds, *self.repeat(Repeat(1, 1)))

    def repeat(self, order: Repeat) -> list[float]:
        """Time repeats with the device's own events."""
        if order.which == CANARY:
            return self._time_canary(order.number, order.repeats)
        flush = {"cache_flush_bytes": self._flush_bytes} if order.is_flushed else {}
        evaluator = self._libraries[order.which].time_evaluator(
            "main", self._device, number=order.number, repeat=order.repeats, **flush
        )
        seconds = [float(value) for value in evaluator(*self._tensors).results]
        self._used = time.perf_counter()
        return seconds

    def call(self) -> None:
        """Send the task's buffers with their guard bands, call the first candidate, fetch them back."""
        self._upload()
        self._libraries[0]["main"](*self._tensors)
        self._device.sync()
        for buffer in self._buffers:
            buffer.download()

    def _restore(self) -> None:
        """Bring the random inputs back, which a check may have replaced."""
        arguments = self._state.arguments
        expected = self._state.references.expected("random", arguments)
        for spec, buffer, wanted in zip(arguments.specs, arguments.buffers, expected, strict=True):
            buffer.renew_guards()
            if not spec.is_output:
                np.copyto(buffer.raw, wanted)
        arguments.poison_outputs()
        self._upload()

    def _upload(self) -> None:
        for buffer in self._buffers:
            buffer.upload()

    def _settle(self) -> None:
        """Run the canary until its times hold still, or the time for that is up."""
        began, samples = time.perf_counter(), list[float]()
        while time.perf_counter() - began < self._settle_seconds and not has_settled(samples):
            samples += self._time_canary(8, 1)

    def _time_canary(self, number: int, repeats: int) -> list[float]:
        if self._canary is None:
            library = load_code(unpack(self._state.canary))
            self._canary = (library, canary_tensors(self._state.target, self._device))
        library, tensors = self._canary
        evaluator = library.time_evaluator("main", self._device, number=number, repeat=repeats)
        seconds = [float(value) for value in evaluator(*tensors).results]
        self._used = time.perf_counter()
        return seconds


def canary_tensors(target: Any, device: Any) -> list[Any]:
    """Return the arguments of the canary, on the device."""
    from tuner.measure.cuda.canary import canary_shapes

    return [tvm.runtime.tensor(np.full(shape, 0.5, np.float32), device) for shape in canary_shapes(target)]


def load_code(code: DeviceCode) -> Any:
    """Make a callable module of what another process built.

    Args:
        code: Host functions and machine code.

    Returns:
        A runtime module with ``main``; the machine code goes to the device at the first call.
    """
    library = tvm.get_global_func("target.build.llvm")(load_json(code.host), tvm.target.Target(HOST))
    functions = {
        name: {"name": name, "arg_types": info.argument_types, "launch_param_tags": info.launch_tags}
        for name, info in code.kernels.items()
    }
    text = json.dumps({"tvm_version": tvm.__version__, "func_info": functions})
    information = tvm.get_global_func("runtime.LoadMetaDataFromJSON")(text)
    create = tvm.get_global_func("ffi.Module.create.cuda")
    library.import_module(create(code.binary, "cubin", information, {}))
    return library
