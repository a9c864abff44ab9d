"""Input sets and reference outputs in memory that all processes of a task share.

With every output goes its *noise*: how far it moves when every floating-point input is changed by its last
bit. That is small for sums of products, and large where a program subtracts nearly equal numbers, as a
variance from a mean of squares does: there the untuned program is itself no more exact than that, and a
candidate that rounds otherwise, even better, is not wrong.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import tvm
from search_space.workload import BufferSpec, Workload
from tuner.measure.buffers import INPUT_SETS, Arguments, GuardedBuffer, is_floating
from tuner.measure.messages import Referenced

_RATES = {"float32": 5e9, "float64": 2e9, "int32": 5e9, "int64": 2e9}
_EMULATED_RATE = 2e8
"""Operations a second of the reference program on one core, order of magnitude; the second for types that
CPUs emulate, such as float16."""

_LITTLE_NOISE = 2.0**-20
"""A program whose outputs move by less is a sum of products; its noise hardly counts on any input set."""

_LONG_SECONDS = 0.05
"""A program that takes longer is not run again for noise that hardly counts."""

_PIECE = 1 << 15
"""Elements compared at once: a few arrays of them fit the second cache level."""

if TYPE_CHECKING:
    from tuner.measure.task_state import TaskState


def reference_seconds(workload: Workload) -> float:
    """Estimate how long one run of the reordered program takes on a CPU, within an order of magnitude."""
    return workload.flops / min(_RATES.get(spec.dtype, _EMULATED_RATE) for spec in workload.args)


def memory_needed(workload: Workload) -> int:
    """Return the bytes that measuring takes at least: operands, and a copy of them for every input set."""
    operands = sum(spec.elements * int(tvm.DataType(spec.dtype).bits) // 8 for spec in workload.args)
    return operands * (1 + len(INPUT_SETS))


class References:
    """For every input set the inputs and the outputs of the untuned program.

    The memory belongs to a descriptor that the tuner keeps, so that it survives a server that is killed.
    This process and its children see it read-only; only :meth:`compute` writes, through its own mapping.

    Args:
        descriptor: A memory file; it is grown to hold every input set.
        arguments: The task's buffers.
    """

    def __init__(self, descriptor: int, arguments: Arguments) -> None:
        self._descriptor = descriptor
        self._noise_bytes = 8 * len(arguments.buffers)
        self._set_bytes = -(-sum(buffer.bytes for buffer in arguments.buffers) // 8) * 8 + self._noise_bytes
        self._total = self._set_bytes * len(INPUT_SETS)
        if os.fstat(descriptor).st_size < self._total:
            os.ftruncate(descriptor, self._total)
        # mmap keeps a descriptor of its own: it must not be one that can be written to.
        readable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        self._raw: NDArray[np.uint8] = np.frombuffer(
            mmap.mmap(readable, self._total, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ), dtype=np.uint8
        )
        os.close(readable)

    def forbid_writing(self) -> None:
        """Give up the descriptor, so that nothing in this process can write to the memory any more."""
        os.close(self._descriptor)

    def expected(self, input_set: str, arguments: Arguments) -> list[NDArray[np.uint8]]:
        """Return the read-only bytes of every buffer after a right run on an input set, in call order."""
        offset = INPUT_SETS.index(input_set) * self._set_bytes
        found: list[NDArray[np.uint8]] = []
        for buffer in arguments.buffers:
            found.append(self._raw[offset : offset + buffer.bytes])
            offset += buffer.bytes
        return found

    def noise(self, input_set: str) -> NDArray[np.float64]:
        """Return how inexact a right run is for every buffer in call order; 0 where that is not known."""
        end = (INPUT_SETS.index(input_set) + 1) * self._set_bytes
        return self._raw[end - self._noise_bytes : end].view(np.float64)

    def compute(self, call: Callable[[], None], state: TaskState, budget_seconds: float) -> Referenced:
        """Run the reference program on the input sets in turn and keep what it read and wrote.

        Args:
            call: Runs the program on the task's buffers.
            state: The task.
            budget_seconds: No further input set is begun after this much running.
        """
        arguments, opened = state.arguments, state.opened
        writable = np.frombuffer(mmap.mmap(self._descriptor, self._total), dtype=np.uint8)
        done: list[str] = []
        has_nan = False
        is_exact = False
        spent = fastest = 0.0
        for index, input_set in enumerate(INPUT_SETS):
            if done and spent + fastest > budget_seconds:
                break
            arguments.fill(input_set, opened.seed, opened.is_positive)
            arguments.poison_outputs()
            began = time.perf_counter()
            call()
            seconds = time.perf_counter() - began
            spent += seconds
            fastest = seconds if not done else min(fastest, seconds)
            offset = index * self._set_bytes
            for spec, buffer in zip(arguments.specs, arguments.buffers, strict=True):
                writable[offset : offset + buffer.bytes] = buffer.raw
                offset += buffer.bytes
                if spec.is_output and input_set == "random" and is_floating(spec.dtype):
                    has_nan |= bool(np.isnan(buffer.array).any())
            done.append(input_set)
            is_affordable = spent + fastest <= budget_seconds and not (is_exact and fastest > _LONG_SECONDS)
            if is_affordable and any(map(_is_nudged, arguments.specs)):
                noise = _noise(call, arguments, opened.seed)
                end = (index + 1) * self._set_bytes
                writable[end - self._noise_bytes : end].view(np.float64)[:] = noise
                is_exact = is_exact or (input_set == "random" and max(noise) < _LITTLE_NOISE)
                spent += fastest
        return Referenced(done, has_nan, fastest)


def _is_nudged(spec: BufferSpec) -> bool:
    return not spec.is_output and spec.dtype in ("float32", "float64")


def _noise(call: Callable[[], None], arguments: Arguments, seed: int) -> list[float]:
    before = [buffer.array.copy() if spec.is_output else None for spec, buffer in _pairs(arguments)]
    generator = np.random.default_rng(seed)
    for spec, buffer in _pairs(arguments):
        if _is_nudged(spec):
            towards = np.where(generator.integers(0, 2, buffer.shape, dtype=np.int8) > 0, np.inf, -np.inf)
            np.nextafter(buffer.array, towards.astype(spec.dtype), out=buffer.array)
    call()
    return [
        moved(buffer.array, old) if old is not None and is_floating(spec.dtype) else 0.0
        for (spec, buffer), old in zip(_pairs(arguments), before, strict=True)
    ]


def _pairs(arguments: Arguments) -> list[tuple[BufferSpec, GuardedBuffer]]:
    return list(zip(arguments.specs, arguments.buffers, strict=True))


def moved(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest change of a finite element, relative to ``|x| + rms(x)``."""
    found, wanted = actual.reshape(-1), expected.reshape(-1)
    scale = _root_mean_square(found, wanted)
    worst = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for old, difference in _differences(found, wanted):
            relative = difference / np.maximum(np.abs(old) + scale, np.finfo(np.float32).tiny)
            worst = max(worst, float(np.max(relative, where=np.isfinite(difference), initial=0.0)))
    return worst


def _root_mean_square(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    squares, count = 0.0, 0
    with np.errstate(invalid="ignore", over="ignore"):
        for old, difference in _differences(found, wanted):
            finite = np.isfinite(difference)
            squares += float(np.sum(np.square(old), where=finite))
            count += int(np.count_nonzero(finite))
    return sqrt(squares / count) if count else 1.0


def _differences(
    found: NDArray[Any], wanted: NDArray[Any]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    for start in range(0, wanted.size, _PIECE):
        old = wanted[start : start + _PIECE].astype(np.float64)
        yield old, np.abs(found[start : start + _PIECE].astype(np.float64) - old)
