"""A kernel on a remote device, driven by a local child: a device that hangs hangs only that child."""

from __future__ import annotations

import time
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from search_space.error_text import last_line
from search_space.tvm_api import tvm
from tuner.measure.buffers import element_bytes
from tuner.measure.build import compile_module
from tuner.measure.messages import Attach, Repeat
from tuner.measure.task_state import TaskState
from tuner.measure.weights import PACK, Packing, without_packing

_SESSION_SECONDS = 600
_FLUSH = "cache_flush_cpu_non_first_arg"
_NOTE = ".packing"
"""Ending of the file beside a library that says how its weights are packed: a comparison runs two."""


def build_remote(
    module: Any, library: str, state: TaskState, tolerance_scale: float
) -> tuple[RemoteKernel, dict[str, float]]:
    """Compile a candidate into a library file for a remote device.

    Args:
        module: The scheduled module.
        library: Path of the file.
        state: The task.
        tolerance_scale: See :class:`tuner.measure.kernels.Kernel`.

    Returns:
        The kernel, not attached to a device yet, and seconds by stage.
    """
    began = time.process_time()
    module, packing = without_packing(module, state.workload, state.target)
    Path(library + _NOTE).write_bytes(msgspec.json.encode(packing))
    built = compile_module(module, state.target)
    compiled = time.process_time()
    options = {"cc": state.opened.linker} if state.opened.linker else {}
    linking = time.perf_counter()
    built.export_library(library, **options)
    stages = {"llvm": compiled - began, "link": time.perf_counter() - linking}
    return RemoteKernel(library, state, tolerance_scale), stages


class RemoteKernel:
    """Libraries on one device, the child's own first.

    Args:
        library: Path of the child's own library.
        state: The task.
        tolerance_scale: See :class:`tuner.measure.kernels.Kernel`.
    """

    leaves_outputs = False
    has_guards = False

    def __init__(self, library: str, state: TaskState, tolerance_scale: float) -> None:
        self.tolerance_scale = tolerance_scale
        self._library = library
        self._state = state
        self._session: Any = None
        self._device: Any = None
        self._modules: list[Any] = []
        self._packings: list[Packing | None] = []
        self._panels: list[list[Any]] = []
        self._tensors: list[Any] = []

    def attach(self, order: Attach) -> dict[str, float]:
        """Wait for a free device, send it the libraries and the inputs.

        Args:
            order: Names further libraries.

        Raises:
            ConnectionError: If the device is lost meanwhile.
        """
        from tvm import rpc

        host_port, _, key = self._state.opened.remote.partition("/")
        host, _, port = host_port.rpartition(":")
        began = time.perf_counter()
        try:
            tracker = rpc.connect_tracker(host, int(port))
            self._session = tracker.request(key, session_timeout=_SESSION_SECONDS, max_retry=3)
            connected = time.perf_counter()
            kind = self._state.target.kind.name
            self._device = self._session.cpu(0) if kind == "llvm" else self._session.device(kind, 0)
            for path in (self._library, *order.libraries):
                self._session.upload(path)
                self._modules.append(self._session.load_module(Path(path).name))
                packing = msgspec.json.decode(Path(path + _NOTE).read_bytes(), type=Packing | None)
                self._packings.append(packing)
                shapes = () if packing is None else packing.shapes
                self._panels.append([tvm.runtime.empty(s, dtype, self._device) for s, dtype in shapes])
            self._tensors = [
                tvm.runtime.empty((prod(b.shape) * element_bytes(b.dtype),), "uint8", self._device)
                for b in self._state.arguments.buffers
            ]
            self._send_buffers()
            for which in range(len(self._modules)):
                self._pack(which)
        except Exception as error:
            raise _lost(error) from error
        return {"connect": connected - began, "upload": time.perf_counter() - connected}

    def first(self) -> float:
        """Time one call on the device's own clock."""
        return self.repeat(Repeat(1, 1))[0]

    def repeat(self, order: Repeat) -> list[float]:
        """Time repeats on the device's own clock.

        Raises:
            ConnectionError: If the device is lost meanwhile.
        """
        options = {"f_preproc": _FLUSH} if order.is_flushed else {}
        try:
            evaluator = self._modules[order.which].time_evaluator(
                "main", self._device, number=order.number, repeat=order.repeats, **options
            )
            return [float(value) for value in evaluator(*self._views(order.which)).results]
        except Exception as error:
            raise _lost(error) from error

    def call(self) -> None:
        """Send the task's buffers, call the kernel there, fetch the outputs.

        Raises:
            ConnectionError: If the device is lost meanwhile.
        """
        try:
            self._send_buffers()
            self._pack(0)
            self._modules[0]["main"](*self._views(0))
            for buffer, tensor in zip(self._state.arguments.buffers, self._tensors, strict=True):
                np.copyto(buffer.raw, tensor.numpy())
        except Exception as error:
            raise _lost(error) from error

    def _send_buffers(self) -> None:
        for buffer, tensor in zip(self._state.arguments.buffers, self._tensors, strict=True):
            tensor.copyfrom(buffer.raw)

    def _pack(self, which: int) -> None:
        packing = self._packings[which]
        if packing is not None:
            sources = packing.pack_arguments(self._arguments(), self._panels[which])
            self._modules[which][PACK](*sources)

    def _views(self, which: int) -> list[Any]:
        packing = self._packings[which]
        if packing is None:
            return self._arguments()
        outputs = len(self._state.arguments.outputs)
        return packing.main_arguments(self._arguments(), self._panels[which], outputs)

    def _arguments(self) -> list[Any]:
        buffers = self._state.arguments.buffers
        return [t._create_view(b.shape, b.dtype) for b, t in zip(buffers, self._tensors, strict=True)]


def _lost(error: Exception) -> ConnectionError:
    return ConnectionError(f"the remote device failed: {last_line(error)}")
