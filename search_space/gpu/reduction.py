"""Reductions over few outputs: shared among the threads of a block, and among blocks (Ansor rule 6).

before::

    for i, k: S[i] += A[i, k]

after (p parts, t threads)::

    bind blockIdx.x i*p: for k1: bind threadIdx.x k2: S.part[p, i] += A[...]       # across threads
    bind blockIdx.x i: bind threadIdx.x p: S[i] += S.part[p, i]

With one part there is one kernel. Where neighbouring terms are not neighbours in memory but neighbouring
outputs are, threadIdx.x runs over outputs and threadIdx.y over the terms.

An element-wise consumer ends the kernel::

    bind blockIdx.x i0: bind threadIdx.y i1:
      for k1: bind threadIdx.x k2: S.shared += A[...]
      D[i] = f(S.shared)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from search_space.access import BlockInfo
from search_space.decisions import Columns, Slot, choice, divisors
from search_space.gpu.allreduce import allreduce_bytes
from search_space.gpu.limits import BASE_REGISTERS, fits_launch
from search_space.hardware_gpu import GpuHardware
from search_space.nest import Access, Binding, Bools, Floats, Launch, LoopNest
from search_space.rules.rfactor import loop_roles
from search_space.steps import Memory, PlainStep
from search_space.tvm_api import Schedule

PARTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TERM_THREADS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
OUTPUT_THREADS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True, eq=False)
class CrossThreadStep(PlainStep):
    """Share one reduction among threads and blocks.

    Attributes:
        block: The reduction.
        hardware: Limits.
        consumer: The element-wise block that ends it in the same kernel, or None.
    """

    block: BlockInfo
    hardware: GpuHardware
    consumer: BlockInfo | None = None

    @property
    def _terms(self) -> int:
        return self.block.reduction_size

    @property
    def _outputs(self) -> int:
        return self.block.spatial_size

    @property
    def _reads_along_terms(self) -> bool:
        """Whether neighbouring terms are neighbours in the largest input."""
        largest = max(self.block.reads, key=lambda use: prod(use.shape))
        return abs(largest.last_coefficient(self.block.reduction[-1])) <= 1 or not self.block.spatial

    @property
    def _line(self) -> int:
        """Axis of the consumer that the outputs of one block lie along: the last one with several."""
        assert self.consumer is not None
        produced = self.block.writes[0].name
        read = next(use for use in self.consumer.reads if use.name == produced)
        several = [a for a, extent in zip(read.single, read.shape, strict=True) if extent > 1]
        return several[-1] if several else len(self.consumer.axes) - 1

    @property
    def _outputs_in_line(self) -> int:
        """Outputs that a block may take its share of.

        With a consumer they lie along one axis: of parts of fused axes TVM would lose track.
        """
        return self._outputs if self.consumer is None else self.consumer.axes[self._line].extent

    def _name(self, what: str) -> str:
        return f"{self.block.name}.{what}"

    def slots(self) -> tuple[Slot, ...]:
        """Own the parts, the threads along the terms and those along the outputs."""
        parts = tuple(p for p in PARTS if (p in divisors(self._terms) and p * 32 <= self._terms) or p == 1)
        terms = tuple(t for t in TERM_THREADS if t <= self.hardware.block_threads and t < 2 * self._terms)
        outputs = tuple(t for t in OUTPUT_THREADS if t in divisors(self._outputs_in_line))
        return (
            choice(self._name("parts"), parts),
            choice(self._name("terms"), terms),
            choice(self._name("outputs"), outputs),
        )

    def _launch(self, columns: Columns) -> Launch:
        parts = columns.choice(self._name("parts")).astype(np.float64)
        terms = columns.choice(self._name("terms")).astype(np.float64)
        outputs = columns.choice(self._name("outputs")).astype(np.float64)
        return Launch(
            blocks=parts * self._outputs / outputs,
            threads=terms * outputs,
            shared_bytes=self._shared_bytes(terms, outputs, parts == 1),
            registers=np.full(columns.size, BASE_REGISTERS),
            stages=np.zeros(columns.size),
            pipeline=np.ones(columns.size),
            tensor_share=np.zeros(columns.size),
        )

    def _last_launch(self, columns: Columns) -> Launch:
        """Describe the kernel that adds the parts up."""
        parts = columns.choice(self._name("parts")).astype(np.float64)
        outputs = columns.choice(self._name("outputs")).astype(np.float64)
        terms = np.minimum(columns.choice(self._name("terms")), parts)
        return Launch(
            blocks=self._outputs / outputs,
            threads=terms * outputs,
            shared_bytes=np.where(parts > 1, self._shared_bytes(terms, outputs, parts > 1), 0.0),
            registers=np.full(columns.size, BASE_REGISTERS),
            stages=np.zeros(columns.size),
            pipeline=np.ones(columns.size),
            tensor_share=np.zeros(columns.size),
        )

    def _shared_bytes(self, terms: Floats, outputs: Floats, is_last: Bools) -> Floats:
        """Bytes of one kernel, [N]: sums across threads, and in the last one what the consumer reads."""
        result = self.block.writes[0]
        summed = allreduce_bytes(
            self.hardware, terms, outputs, result.dtype, result.element_bytes, self._reads_along_terms
        )
        handed = outputs * result.element_bytes if self.consumer is not None else np.zeros(len(outputs))
        return np.asarray(summed + np.where(is_last, handed, 0.0))

    def valid(self, columns: Columns) -> Bools:
        """Apply the limits of a launch; the last sum over the parts is one thread block an output."""
        launch, last = self._launch(columns), self._last_launch(columns)
        whole = launch.threads >= min(self.hardware.warp, self._terms, self._outputs * self._terms)
        shared = np.maximum(launch.shared_bytes, last.shared_bytes)
        fits = fits_launch(self.hardware, launch.threads, shared, launch.registers)
        return np.asarray(fits & whole & (shared <= self.hardware.static_shared_bytes))

    def apply(self, sch: Schedule, columns: Columns, memory: Memory) -> None:
        """Factor the parts out, then share each of the two sums."""
        parts = int(columns.choice(self._name("parts"))[0])
        terms = int(columns.choice(self._name("terms"))[0])
        outputs = int(columns.choice(self._name("outputs"))[0])
        block = sch.get_sblock(self.block.name)
        loops = list(sch.get_loops(block))
        spatial = [loops[i] for i in self.block.spatial]
        reduction = [loops[i] for i in self.block.reduction]
        sch.reorder(*spatial, *reduction)
        fused = sch.fuse(*reduction) if len(reduction) > 1 else reduction[0]
        if parts > 1:
            part, _ = sch.split(fused, [parts, None])
            self._share(sch, sch.rfactor(part, 0), terms, outputs)
            terms = min(terms, parts)
        if self.consumer is None:
            self._share(sch, block, terms, outputs)
        else:
            self._share_with_consumer(sch, block, terms, outputs)

    def _share_with_consumer(self, sch: Schedule, block: Any, terms: int, outputs: int) -> None:
        """Share the outputs of the consumer, and below each the terms of its sum."""
        assert self.consumer is not None
        consumer = sch.get_sblock(self.consumer.name)
        loops = list(sch.get_loops(consumer))
        several, own = sch.split(loops[self._line], [None, outputs], preserve_unit_iters=True)
        around = [*loops[: self._line], several, *loops[self._line + 1 :]]
        sch.reorder(*around, own)
        grid = sch.fuse(*around) if len(around) > 1 else several
        self._bind(sch, grid, own)
        sch.set_scope(block, 0, "shared")
        sch.compute_at(block, own, preserve_unit_loops=True)
        below = list(sch.get_loops(block))[2:]
        is_inner = [role == "reduction" for role in loop_roles(sch, block, below)]
        inner = list(itertools.compress(below, is_inner))
        sch.reorder(*(loop for loop, own_term in zip(below, is_inner, strict=True) if not own_term), *inner)
        self._share_terms(sch, inner, terms)
        # One thread of those that share a sum ends it.
        self._share_terms(sch, [sch.add_unit_loop(consumer)], terms)

    def _share(self, sch: Schedule, block: Any, terms: int, outputs: int) -> None:
        loops = list(sch.get_loops(block))
        roles = loop_roles(sch, block, loops)
        inner = [loop for loop, role in zip(loops, roles, strict=True) if role == "reduction"]
        outer = [loop for loop, role in zip(loops, roles, strict=True) if role != "reduction"]
        if outer:
            # Outputs run innermost, so that neighbouring threads have neighbouring outputs.
            lanes = [loop for loop, role in zip(loops, roles, strict=True) if role == "lane"]
            outer = [*lanes, *(loop for loop in outer if not any(loop.same_as(x) for x in lanes))]
            sch.reorder(*outer, *inner)
            outer = [sch.fuse(*outer) if len(outer) > 1 else outer[0]]
        else:
            outer = [sch.add_unit_loop(inner[0])]
        self._bind(sch, *sch.split(outer[0], [None, outputs], preserve_unit_iters=True))
        self._share_terms(sch, inner, terms)

    def _bind(self, sch: Schedule, grid: Any, own: Any) -> None:
        sch.bind(grid, "blockIdx.x")
        sch.bind(own, "threadIdx.y" if self._reads_along_terms else "threadIdx.x")

    def _share_terms(self, sch: Schedule, loops: list[Any], terms: int) -> None:
        work = sch.fuse(*loops) if len(loops) > 1 else loops[0]
        _, lane = sch.split(work, [None, terms], preserve_unit_iters=True)
        sch.bind(lane, "threadIdx.x" if self._reads_along_terms else "threadIdx.y")

    def nests(self, columns: Columns) -> tuple[LoopNest, ...]:
        """Describe the sum, and the sum over the parts."""
        launch = self._launch(columns)
        parts = columns.choice(self._name("parts")).astype(np.float64)
        terms = columns.choice(self._name("terms")).astype(np.float64)
        outputs = columns.choice(self._name("outputs")).astype(np.float64)
        size = columns.size
        ones = np.ones(size)
        steps = np.ceil(self._terms / parts / terms)
        order = (0, 1, 2, 3, 4) if self._reads_along_terms else (0, 1, 2, 4, 3)
        # parts, outputs of the grid, steps, threads along the outputs, threads along the terms
        extents = np.stack([parts, self._outputs / outputs, steps, outputs, terms], axis=1)[:, order]
        last = self.block.spatial[-1] if self.block.spatial else -1
        term = self.block.reduction[-1]
        accesses: list[Access] = []
        for use in (*self.block.writes, *self.block.reads):
            along = np.zeros((size, len(use.shape), 5))
            if last >= 0:
                along[:, :, 1] = use.coefficients[None, :, last] * outputs[:, None]
                along[:, :, 3] = use.coefficients[None, :, last]
            along[:, :, 0] = use.coefficients[None, :, term] * (steps * terms)[:, None]
            along[:, :, 2] = use.coefficients[None, :, term] * terms[:, None]
            along[:, :, 4] = use.coefficients[None, :, term]
            shape = np.array(use.shape, dtype=np.float64)[None, :]
            accesses.append(
                Access(use.name, use.element_bytes, use.is_write, use.is_write, shape, along[:, :, order])
            )
        result = self.block.writes[0]
        # Every candidate has the second kernel as a stage; with one part it never runs.
        last_terms = np.minimum(terms, parts)
        last_order = (0, 1, 2, 3) if self._reads_along_terms else (0, 1, 3, 2)
        last_steps = [self._outputs / outputs, np.ceil(parts / last_terms), outputs, last_terms]
        moves = np.zeros((size, 1, 4))
        moves[:, 0, 0], moves[:, 0, 2] = outputs, 1.0
        summed = moves.copy()
        summed[:, 0, 1], summed[:, 0, 3] = last_terms * self._outputs, float(self._outputs)
        whole = np.array([[float(self._outputs)]])
        kinds = np.array([1, 0, 1, 0, 1], dtype=np.int8)
        places = np.array(
            [Binding.BLOCK, Binding.BLOCK, Binding.SERIAL, Binding.THREAD, Binding.THREAD], dtype=np.int8
        )
        part_bytes = parts * self._outputs
        partials = Access(
            f"{result.name}.part",
            result.element_bytes,
            False,
            False,
            part_bytes[:, None],
            summed[:, :, last_order],
        )
        return (
            _nest(self.block, "reduce", extents, kinds[list(order)], places, accesses, ones, launch),
            _nest(
                self.block,
                "combine",
                np.stack(last_steps, axis=1)[:, last_order],
                np.array([0, 1, 0, 1], dtype=np.int8)[list(last_order)],
                np.array([Binding.BLOCK, Binding.SERIAL, Binding.THREAD, Binding.THREAD], dtype=np.int8),
                [
                    Access(result.name, result.element_bytes, True, True, whole, moves[:, :, last_order]),
                    partials,
                ],
                np.where(parts > 1, 1.0, 0.0),
                self._last_launch(columns),
            ),
        )


def _nest(
    block: BlockInfo,
    stage: str,
    extents: Floats,
    kinds: np.ndarray,
    binding: np.ndarray,
    accesses: list[Access],
    executions: Floats,
    launch: Launch,
) -> LoopNest:
    none = np.zeros(extents.shape, dtype=bool)
    return LoopNest(
        stage=stage,
        extents=extents,
        kinds=kinds,
        parallel=none,
        unrolled=none,
        vectorised=none,
        accesses=tuple(accesses),
        flops=max(block.flops, 1.0),
        transcendentals=block.transcendentals if stage == "reduce" else 0.0,
        executions=executions,
        workers=np.zeros(len(extents)),
        predicated=np.zeros(len(extents)),
        binding=binding,
        launch=launch,
    )
