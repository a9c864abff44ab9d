"""Which stage of a program is the main one, which buffer plays which role, and the stages together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.loops import Loops, Row, Scalar, loops_of
from cost_models.analysis.stage import Stage, stage_of
from search_space.nest import Access, Floats, LoopNest, ProgramNests

if TYPE_CHECKING:
    from search_space.hardware import Hardware

_TRANSCENDENTAL_FLOPS = 20.0
"""Work of one exp or erf call when stages are ranked."""


@dataclass(frozen=True, slots=True)
class Program:
    """All stages of candidates that share a main stage and the order of its inputs.

    Attributes:
        stages: Analyses in execution order.
        main: Index of the stage that does the most work.
        roles: Buffers of the main stage: the output, then inputs by size, largest first.
        footprint_bytes: [N] bytes of all memory buffers together.
        workspace_bytes: [N] memory besides the arguments.
        parallel_regions: [N] fork/join regions.
        useful_flops: Operations that the workload needs.
    """

    stages: tuple[Stage, ...]
    main: int
    roles: tuple[int, ...]
    footprint_bytes: Row
    workspace_bytes: Row
    parallel_regions: Row
    useful_flops: float


def programs_of(nests: ProgramNests, hardware: Hardware) -> Iterator[tuple[NDArray[np.intp] | None, Program]]:
    """Analyse a population, split where candidates differ in main stage or order of inputs.

    The split makes every number a function of the candidate alone, whatever else is in the batch.

    Args:
        nests: N candidates.
        hardware: The machine.

    Yields:
        Rows (``None`` for all of them) and their analysis.
    """
    loops = tuple(loops_of(nest) for nest in nests.stages)
    main = _main_stages(nests, loops)
    for stage in _distinct(main[:, None]):
        rows = np.flatnonzero(main == stage[0])
        order = _input_orders(nests.stages[stage[0]], rows)
        for key in _distinct(order):
            roles = _roles(nests.stages[stage[0]], key)
            chosen = rows[(order == key).all(axis=1)]
            if len(chosen) == nests.size:
                yield None, _analyse(nests, loops, hardware, int(stage[0]), roles)
            else:
                part = _take(nests, chosen)
                part_loops = tuple(loops_of(nest) for nest in part.stages)
                yield chosen, _analyse(part, part_loops, hardware, int(stage[0]), roles)


def _distinct(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the distinct rows; nearly always there is one, so that no sorting is needed."""
    return rows[:1] if (rows == rows[:1]).all() else np.unique(rows, axis=0)


def _analyse(
    nests: ProgramNests, loops: tuple[Loops, ...], hardware: Hardware, main: int, roles: tuple[int, ...]
) -> Program:
    stages = tuple(stage_of(nest, own, hardware) for nest, own in zip(nests.stages, loops, strict=True))
    sizes: dict[str, Scalar] = {}
    for stage in stages:
        for buffer in stage.buffers:
            if not buffer.is_local:
                size = buffer.elements * float(buffer.element_bytes) * (stage.executions > 0)
                sizes[buffer.name] = np.maximum(sizes.get(buffer.name, 0.0), size)
    one = np.ones(nests.size, np.float32)
    return Program(
        stages=stages,
        main=main,
        roles=roles,
        footprint_bytes=sum(sizes.values(), start=0.0) * one,
        workspace_bytes=one * np.asarray(nests.workspace_bytes, np.float32),
        parallel_regions=one * np.asarray(nests.parallel_regions, np.float32),
        useful_flops=nests.useful_flops,
    )


def _main_stages(nests: ProgramNests, loops: tuple[Loops, ...]) -> NDArray[np.intp]:
    if len(nests.stages) == 1:
        return np.zeros(nests.size, np.intp)
    work = np.empty((len(nests.stages), nests.size))
    for row, nest, own in zip(work, nests.stages, loops, strict=True):
        body = nest.flops + _TRANSCENDENTAL_FLOPS * nest.transcendentals
        row[:] = body + 1e-3 * sum(access.element_bytes for access in nest.accesses)
        # In double precision, so that stages of equal work tie whatever their tiles are.
        for place in own.places:
            row *= nest.extents[:, place]
        row *= nest.executions
    return np.asarray(np.argmax(work, axis=0))


def _input_orders(nest: LoopNest, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return [len(rows), inputs]: indices of the accesses that read, largest buffer first."""
    inputs = [index for index, access in enumerate(nest.accesses) if not access.is_write]
    if not inputs:
        return np.zeros((len(rows), 0), np.intp)
    shapes = [np.atleast_2d(np.asarray(nest.accesses[index].shape)) for index in inputs]
    sizes = [
        shape.prod(axis=1) * nest.accesses[index].element_bytes
        for index, shape in zip(inputs, shapes, strict=True)
    ]
    if all(len(size) == 1 for size in sizes):
        table = np.array([[float(size[0]) for size in sizes]])
        return np.broadcast_to(
            np.array(inputs)[np.argsort(-table, axis=1, kind="stable")], (len(rows), len(inputs))
        )
    table = np.stack([np.broadcast_to(size, (nest.size,))[rows] for size in sizes], axis=1)
    return np.asarray(np.array(inputs)[np.argsort(-table, axis=1, kind="stable")])


def _roles(nest: LoopNest, inputs: NDArray[np.intp]) -> tuple[int, ...]:
    outputs = [index for index, access in enumerate(nest.accesses) if access.is_write]
    return (outputs[0] if outputs else -1, *(int(index) for index in inputs))


def _take(nests: ProgramNests, rows: NDArray[np.intp]) -> ProgramNests:
    def pick(values: Floats, dimensions: int) -> Floats:
        values = np.asarray(values)
        return values[rows] if values.ndim == dimensions and values.shape[0] == nests.size else values

    def access(value: Access) -> Access:
        return replace(value, shape=pick(value.shape, 2), coefficients=pick(value.coefficients, 3))

    def stage(nest: LoopNest) -> LoopNest:
        return replace(
            nest,
            extents=nest.extents[rows],
            parallel=nest.parallel[rows],
            unrolled=nest.unrolled[rows],
            vectorised=nest.vectorised[rows],
            accesses=tuple(access(value) for value in nest.accesses),
            executions=pick(nest.executions, 1),
            workers=pick(nest.workers, 1),
            predicated=pick(nest.predicated, 1),
        )

    return replace(
        nests,
        stages=tuple(stage(nest) for nest in nests.stages),
        workspace_bytes=pick(nests.workspace_bytes, 1),
        parallel_regions=pick(nests.parallel_regions, 1),
    )
