"""Everything that is known about one stage before columns or seconds are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cost_models.analysis.footprint import Footprint, footprint_of
from cost_models.analysis.loops import Buffer, Loops, Row, buffer_of
from cost_models.analysis.registers import RegisterTile, register_tile_of
from cost_models.analysis.traffic import Traffic, traffic_of
from search_space.nest import LoopNest

if TYPE_CHECKING:
    from search_space.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Stage:
    """The analysis of one stage of N candidates.

    Attributes:
        name: The stage's role.
        flops: Operations of one body execution.
        transcendentals: Calls of exp and the like of one body execution.
        loops: Loops outer to inner.
        buffers: Accesses.
        footprints: One for each buffer.
        traffic: Working sets and cache traffic of one execution.
        tile: The innermost part.
        executions: [N] how often the nest runs.
        bodies: [N] body executions in all.
        tasks: [N] parallel tasks that share all executions; 1 for serial.
        busy_cores: [N] cores that work on average until the last task ends.
        predicated: [N] fraction of body executions that are padding.
    """

    name: str
    flops: float
    transcendentals: float
    loops: Loops
    buffers: tuple[Buffer, ...]
    footprints: tuple[Footprint, ...]
    traffic: Traffic
    tile: RegisterTile
    executions: Row
    bodies: Row
    tasks: Row
    busy_cores: Row
    predicated: Row

    def bytes_moved(self, writes: bool) -> Row:
        """Return [N] bytes of distinct elements read or written in all executions."""
        total: Row = np.zeros(self.loops.size, np.float32)
        for buffer, footprint in zip(self.buffers, self.footprints, strict=True):
            if buffer.is_write == writes and not buffer.is_local:
                total = total + footprint.elements[0] * buffer.element_bytes
        return total * self.executions


def stage_of(nest: LoopNest, loops: Loops, hardware: Hardware) -> Stage:
    """Analyse one stage.

    Args:
        nest: N candidates.
        loops: Its loops.
        hardware: The machine.

    Returns:
        The analysis.
    """
    buffers = tuple(buffer_of(access, loops) for access in nest.accesses)
    footprints = tuple(footprint_of(buffer, loops, hardware.line_bytes) for buffer in buffers)
    executions = _row(nest.executions, loops.size)
    tasks = np.ones(loops.size, np.float32)
    for loop, mask in enumerate(loops.parallel):
        if mask is not None:
            tasks = tasks * loops.growth(loop, mask)
    workers = _row(nest.workers, loops.size)
    tasks = np.where(workers > 0, workers, tasks)
    return Stage(
        name=nest.stage,
        flops=nest.flops,
        transcendentals=nest.transcendentals,
        loops=loops,
        buffers=buffers,
        footprints=footprints,
        traffic=traffic_of(buffers, footprints, loops, hardware.line_bytes),
        tile=register_tile_of(buffers, footprints, loops, hardware.vector_bytes),
        executions=executions,
        bodies=loops.inner[0] * executions,
        tasks=tasks,
        busy_cores=tasks / np.ceil(tasks * np.float32(1.0 / hardware.cores)),
        predicated=_row(nest.predicated, loops.size),
    )


def _row(values: object, size: int) -> Row:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float32), (size,)))
