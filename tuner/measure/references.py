"""Input sets and reference outputs in memory that all processes of a task share."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tuner.measure.buffers import INPUT_SETS, Arguments, is_floating
from tuner.measure.messages import Referenced

if TYPE_CHECKING:
    from tuner.measure.task_state import TaskState


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
        self._set_bytes = sum(buffer.bytes for buffer in arguments.buffers)
        self._total = max(1, self._set_bytes) * len(INPUT_SETS)
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
        return Referenced(done, has_nan, fastest)
