"""Runs compiled models: machine code that calls every kernel itself, or TVM's virtual machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeAlias

import numpy as np

from tuner.artifact import ALIGNMENT_BYTES
from tuner.straight_program import Operand, StraightProgram
from tuner.tensor_spec import TensorSpec

Watch: TypeAlias = Callable[[str, Sequence[tuple[int, ...]], bool], None]
"""Called with a kernel's symbol, the shapes of its arguments and whether it is still to run."""


class Runner(Protocol):
    """Runs one model; one run at a time."""

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Run once: tensors in, new tensors out."""
        ...

    def instrumented(self, watch: Watch) -> AbstractContextManager[None]:
        """Have every call of a kernel announced, before and after it."""
        ...


class StraightRunner:
    """Calls a ``main`` that calls its kernels directly.

    Memory for what lies between inputs and outputs is allocated once; only outputs are new in every run.

    Args:
        executable: What was compiled, or a loaded library.
        program: What ``main`` does.
        weights: Tensor of all weights.
        outputs: Results of ``main``.
    """

    def __init__(
        self, executable: Any, program: StraightProgram, weights: Any, outputs: Sequence[TensorSpec]
    ) -> None:
        import tvm_ffi
        from tvm import runtime

        self._empty = runtime.empty
        self._adopt = tvm_ffi.from_dlpack
        self._library = executable.jit() if hasattr(executable, "jit") else executable
        self._main = self._library["main"]
        self._program = program
        self._outputs = [(output.shape, output.dtype) for output in outputs]
        # NumPy asks the system for huge pages.
        memory = np.zeros(program.arena_bytes + ALIGNMENT_BYTES, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT_BYTES
        arena = self._adopt(memory[start : start + program.arena_bytes])
        self._blocks = {"weights": weights, "arena": arena}
        self._arguments = (weights, arena)
        self._is_free = threading.Lock()
        self._watch: Watch | None = None

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Run once."""
        outputs = [self._empty(shape, dtype) for shape, dtype in self._outputs]
        with self._is_free:
            if self._watch is None:
                self._main(*inputs, *self._arguments, *outputs)
            else:
                self._step_by_step(inputs, outputs, self._watch)
        return outputs

    @contextmanager
    def instrumented(self, watch: Watch) -> Iterator[None]:
        """Call the kernels from here, one by one."""
        self._watch = watch
        try:
            yield
        finally:
            self._watch = None

    def _step_by_step(self, inputs: Sequence[Any], outputs: Sequence[Any], watch: Watch) -> None:
        blocks = {name: np.from_dlpack(block) for name, block in self._blocks.items()}

        def tensor(operand: Operand) -> Any:
            if operand.space in blocks:
                # Kernels read nothing but the address.
                return self._adopt(blocks[operand.space][operand.position :])
            return (inputs if operand.space == "input" else outputs)[operand.position]

        for step in self._program.steps:
            kernel = self._library[step.symbol]
            tensors = [tensor(operand) for operand in step.operands]
            shapes = [operand.shape for operand in step.operands]
            watch(step.symbol, shapes, True)
            kernel(*tensors)
            watch(step.symbol, shapes, False)


class VirtualMachineRunner:
    """Lets TVM's virtual machine interpret ``main``: models with branches, and other devices.

    Args:
        executable: What was compiled, or a loaded library.
        device: The TVM device.
        weights: What ``main`` takes as a tuple behind the inputs; nothing is passed when empty.
    """

    def __init__(self, executable: Any, device: Any, weights: Sequence[Any]) -> None:
        import tvm_ffi
        from tvm import relax

        self._machine = relax.VirtualMachine(executable, device)
        self._main = self._machine["main"]
        self._bound = (tvm_ffi.Array(weights),) if weights else ()

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Run once."""
        return _as_list(self._main(*inputs, *self._bound))

    @contextmanager
    def instrumented(self, watch: Watch) -> Iterator[None]:
        """Have the machine say what it calls."""

        def announce(function: Any, name: Any, before: bool, result: Any, *arguments: Any) -> int:
            if not str(name).startswith("vm.builtin."):
                tensors = [a for a in arguments if hasattr(a, "__dlpack__")]
                watch(str(name), [tuple(int(e) for e in t.shape) for t in tensors], bool(before))
            return 0

        self._machine.set_instrument(announce)
        try:
            yield
        finally:
            self._machine.set_instrument(_unwatched)


def _unwatched(*_: Any) -> int:
    return 0


def _as_list(result: Any) -> list[Any]:
    if hasattr(result, "__dlpack__"):
        return [result]
    return [leaf for field in result for leaf in _as_list(field)]
