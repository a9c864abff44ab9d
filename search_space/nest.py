"""Numeric loop nests: what a schedule looks like for a whole population, without lowering it.

A sketch describes every stage that its schedule will execute (packing copies, the main
computation, the epilogue ...) as a :class:`LoopNest` over N candidates at once. Cost models read
nothing else, so any sketch that can describe itself this way has features.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""Numbers of N candidates. Tables are fastest as float32 with the N values of one entry adjacent in
memory, that is, as transposed views of [L, N]; whole numbers below 2**24 are exact."""
Bools = NDArray[np.bool_]


class LoopKind(IntEnum):
    """Whether a loop runs over outputs or over a reduction."""

    SPATIAL = 0
    REDUCTION = 1


class Binding(IntEnum):
    """What a loop of a GPU kernel runs on."""

    SERIAL = 0
    BLOCK = 1
    VTHREAD = 2
    THREAD = 3


class Scope(IntEnum):
    """Where a buffer of a GPU kernel lives."""

    GLOBAL = 0
    SHARED = 1
    REGISTER = 2


@dataclass(frozen=True, slots=True)
class Launch:
    """One GPU kernel of N candidates.

    Attributes:
        blocks: [N] thread blocks.
        threads: [N] threads of a block.
        shared_bytes: [N] shared memory of a block, all pipeline stages together.
        registers: [N] estimate of the registers of a thread.
        stages: [N] tiles that a block fetches into shared memory one after the other (0: none).
        pipeline: [N] tiles in flight between global and shared memory (1: no overlap).
        tensor_share: [N] fraction of the arithmetic that tensor cores do.
        tensor_rate: How fast they do it, float16 being 1.
    """

    blocks: Floats
    threads: Floats
    shared_bytes: Floats
    registers: Floats
    stages: Floats
    pipeline: Floats
    tensor_share: Floats
    tensor_rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Access:
    """How one buffer is read or written in the body of a nest.

    The index of dimension d is ``sum_l coefficients[:, d, l] * loop_l`` (constants left out).

    Attributes:
        name: The buffer's name.
        element_bytes: Bytes of one element.
        is_write: Whether the body writes it (reductions also read what they write).
        is_local: Whether it lives in registers or on the stack (accumulators).
        shape: Extents, broadcastable to [N, D].
        coefficients: Broadcastable to [N, D, L], loops outer to inner.
        scope: Where it lives in a GPU kernel.
        pitch: [N] elements from one row (last dimension) to the next where rows are padded; None if not.
        used: [D, L] where a coefficient differs from zero for any candidate, if that is known: it saves
            looking at all of them.
    """

    name: str
    element_bytes: int
    is_write: bool
    is_local: bool
    shape: Floats
    coefficients: Floats
    scope: Scope = Scope.GLOBAL
    pitch: Floats | None = None
    used: Bools | None = None


@dataclass(frozen=True, slots=True)
class LoopNest:
    """One perfectly nested stage of N candidates.

    Attributes:
        stage: ``compute``, ``pack``, ``epilogue``, ``pad`` or another role name.
        extents: [N, L] trip counts, outer to inner.
        kinds: [L] of :class:`LoopKind`.
        parallel: [N, L]; whether the loop's iterations are shared among threads.
        unrolled: [N, L]; whether the loop is unrolled completely.
        vectorised: [N, L]; whether the loop is the vector lanes (at most one per candidate).
        accesses: Buffers of the body.
        flops: Floating-point operations of one body execution (a fused multiply-add is 2).
        transcendentals: Calls of exp, erf, tanh and the like in one body execution.
        executions: [N] how often the whole nest runs (more than 1 for stages attached below other
            loops); ``parallel`` loops are then those of the enclosing nest, given by ``workers``.
        workers: [N] parallel tasks that share all executions (1: serial; 0: use ``parallel``).
        predicated: [N] fraction of iterations that are padding or masked out (0 for none).
        binding: [L] of :class:`Binding` for stages of a GPU kernel, else None.
        launch: The kernel that starts with this stage; stages without one belong to the kernel before.
    """

    stage: str
    extents: Floats
    kinds: NDArray[np.int8]
    parallel: Bools
    unrolled: Bools
    vectorised: Bools
    accesses: tuple[Access, ...]
    flops: float
    transcendentals: float
    executions: Floats
    workers: Floats
    predicated: Floats
    binding: NDArray[np.int8] | None = None
    launch: Launch | None = None

    @property
    def size(self) -> int:
        """Number of candidates."""
        return int(self.extents.shape[0])


@dataclass(frozen=True, slots=True)
class ProgramNests:
    """All stages of N candidates in execution order.

    Attributes:
        stages: The nests; the one with the most arithmetic is what the features centre on.
        workspace_bytes: [N] memory allocated besides the arguments.
        useful_flops: Operations that the workload needs (padding not counted).
        parallel_regions: [N] number of fork/join regions.
    """

    stages: tuple[LoopNest, ...]
    workspace_bytes: Floats
    useful_flops: float
    parallel_regions: Floats

    @property
    def size(self) -> int:
        """Number of candidates."""
        return self.stages[0].size


class Table:
    """Coefficients of an access under construction: [D, L, N] with the entries that differ from zero.

    Args:
        dimensions: D.
        loops: L.
        size: N.
    """

    def __init__(self, dimensions: int, loops: int, size: int) -> None:
        self._values = np.zeros((dimensions, loops, size), np.float32)
        self.used: Bools = np.zeros((dimensions, loops), bool)

    def put(self, dimension: int, loop: int, value: Floats | float) -> None:
        """Set one entry: a number or [N]."""
        self._values[dimension, loop] = value
        self.used[dimension, loop] = True

    @property
    def coefficients(self) -> Floats:
        """The table as an :class:`Access` wants it: [N, D, L]."""
        return self._values.transpose(2, 0, 1)


def flags(size: int, loops: int, *chosen: int) -> Bools:
    """Return [N, L], the same for every candidate: whether a loop is one of the chosen ones."""
    row = np.zeros(loops, bool)
    row[list(chosen)] = True
    return np.broadcast_to(row, (size, loops))
