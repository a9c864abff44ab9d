"""A built kernel as its child drives it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import tvm
from tuner.measure.buffers import Arguments, GuardedBuffer
from tuner.measure.build import Built
from tuner.measure.messages import Attach, Repeat
from tuner.measure.weights import PACK, Packing
from tuner.placement import leave_bound_cpus

_FLUSH_BYTES = 64 << 20
_BIG_CORES = 1
"""TVM's affinity mode: its fastest cores first, which are all of them on most machines."""


class Kernel(Protocol):
    """Something that can be called on a task's buffers and timed.

    Attributes:
        leaves_outputs: Whether the task's output buffers hold what the last timed call wrote.
        has_guards: Whether the guard bands around the task's buffers show what the last call did.
        tolerance_scale: How much larger than usual a rounding error the candidate may have.
    """

    leaves_outputs: bool
    has_guards: bool
    tolerance_scale: float

    def first(self) -> float:
        """Call once and return the seconds."""
        ...

    def repeat(self, order: Repeat) -> list[float]:
        """Return seconds per call of each repeat."""
        ...

    def call(self) -> None:
        """Read the task's input buffers and write its output buffers."""
        ...

    def attach(self, order: Attach) -> dict[str, float]:
        """Load what is to be run on a device, where there is one, and return seconds by stage."""
        ...


class LocalKernel:
    """A kernel in this process.

    Args:
        built: The machine code.
        tensors: Its arguments, over the task's buffers.
        pack: Packs the weights; what a compiled model does once.
        tolerance_scale: See :class:`Kernel`.
    """

    leaves_outputs = True
    has_guards = True

    def __init__(
        self,
        built: Built,
        tensors: list[Any],
        pack: Callable[[], None] | None = None,
        tolerance_scale: float = 1.0,
    ) -> None:
        self.tolerance_scale = tolerance_scale
        self._built = built
        self._tensors = tensors
        self._pack = pack
        self._is_packed = False
        self._flush: NDArray[np.uint8] | None = None

    def first(self) -> float:
        """Call once and return the seconds."""
        self._prepare()
        return self._timed(1)

    def repeat(self, order: Repeat) -> list[float]:
        """Time repeats of calls one after the other, each made as a program makes them.

        The time from the end of a call to the begin of the next (half a microsecond) counts. TVM's own loop
        leaves it out, and with it what a kernel on several threads loses there: while its workers wait for
        work they yield their CPU, and wait for it when somebody else took it.
        """
        self._prepare()
        if order.warm:
            self._timed(order.warm)
        seconds: list[float] = []
        for _ in range(order.repeats):
            if order.is_flushed:
                self._empty_caches()
            seconds.append(self._timed(order.number))
        return seconds

    def call(self) -> None:
        """Pack the weights that are there now and call the kernel."""
        self._is_packed = False
        self._prepare()
        self._built.function(*self._tensors)

    def attach(self, order: Attach) -> dict[str, float]:
        """Do nothing: the kernel is here."""
        return {}

    def _timed(self, number: int) -> float:
        function, tensors, turns = self._built.function, self._tensors, range(number)
        began = time.perf_counter_ns()
        for _ in turns:
            function(*tensors)
        return (time.perf_counter_ns() - began) * 1e-9 / number

    def _prepare(self) -> None:
        if self._pack is not None and not self._is_packed:
            self._pack()
        self._is_packed = True

    def _empty_caches(self) -> None:
        if self._flush is None:
            self._flush = np.zeros(_FLUSH_BYTES, np.uint8)
        self._flush += np.uint8(1)


def place_threads() -> None:
    """Start the workers of this process's pool and move the calling thread off their CPUs, for good."""
    threads = tvm.get_global_func("runtime.NumThreads")()
    tvm.get_global_func("runtime.config_threadpool")(_BIG_CORES, threads)
    leave_bound_cpus()


def local_kernel(
    built: Built, arguments: Arguments, packing: Packing | None, tolerance_scale: float = 1.0
) -> LocalKernel:
    """Bind a kernel to the buffers of a task.

    Args:
        built: The machine code; with ``packing`` it has a function ``pack`` too.
        arguments: The task's buffers.
        packing: How packed weights are passed, if they are.
        tolerance_scale: See :class:`Kernel`.
    """
    tensors = [buffer.tensor() for buffer in arguments.buffers]
    if packing is None:
        return LocalKernel(built, tensors, tolerance_scale=tolerance_scale)
    buffers = [GuardedBuffer(shape, dtype) for shape, dtype in packing.shapes]
    for buffer in buffers:
        buffer.poison()
    panels = [buffer.tensor() for buffer in buffers]
    function, sources = built.library[PACK], packing.pack_arguments(tensors, panels)

    def pack() -> None:
        function(*sources)

    own = packing.main_arguments(tensors, panels, len(arguments.outputs))
    return LocalKernel(built, own, pack, tolerance_scale)
