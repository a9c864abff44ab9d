"""The draft model: seconds from closed formulae and five numbers of the machine.

Per stage arithmetic and memory instructions, which overlap but compete for issue slots (their
Euclidean sum), and a part of the traffic of each cache level, the rest of which prefetching hides;
over the cores that are busy. Stages are added up, and each parallel region costs a fork and a join.
The terms are those of the roofline model with Pruner's penalties; adding them in this way ranked
schedules of nine operators better than taking the slowest (docs/features.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.loops import Row
from cost_models.analysis.program import Program, programs_of
from cost_models.analysis.stage import Stage
from cost_models.analysis.traffic import at_cuts, cuts_of
from search_space.nest import ProgramNests

if TYPE_CHECKING:
    from search_space.hardware import Hardware

_INDEPENDENT_CHAINS = 6.0
"""Accumulators that saturate two units of latency four; eight in theory (FACTS section 5), and fewer
measured, as memory instructions overlap with the wait."""
_WINDOW_INSTRUCTIONS = 192.0
"""Instructions that a core looks ahead: short reductions overlap with those of the next tile."""
_TRANSCENDENTAL_SECONDS = 1.3e-10
"""One element of an exp by polynomial in vectors (docs/numerics.md); libm's scalar one takes ten times that,
and ranked candidates of softmax worse on the machine that it was compared on."""
_EXPOSED_TRAFFIC = 0.3
"""Part of the time of cache traffic that neither prefetching nor other work hides."""
_USABLE = 0.8
"""Part of a cache that a tile may fill before streamed lines push it out."""
_BRANCH_SLOTS = 2.0
"""Instruction slots of one loop iteration: increment, compare and branch."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the draft model must know of a machine's speed.

    Attributes:
        peak_flops: Operations a second of one core, multiply-adds on full float32 vectors.
        l2_bytes_per_second: What one core reads from level 2.
        l3_bytes_per_second: What one core reads from the last level.
        dram_bytes_per_second: What all cores together read from memory.
        fork_join_seconds: Start and end of one parallel region.
    """

    peak_flops: float
    l2_bytes_per_second: float
    l3_bytes_per_second: float
    dram_bytes_per_second: float
    fork_join_seconds: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"calibration {field.name}={value!r}: expected a positive number")


def default_calibration(hardware: Hardware) -> Calibration:
    """Guess the speed of a machine that was not measured.

    Args:
        hardware: Its limits.

    Returns:
        Two multiply-add units at 3 GHz, and bandwidths usual for a server core of the 2020s.
    """
    return Calibration(
        peak_flops=3.0e9 * 4 * hardware.lanes(4),
        l2_bytes_per_second=1.2e9 * hardware.vector_bytes,
        l3_bytes_per_second=2.5e10,
        dram_bytes_per_second=1.2e10 * min(hardware.cores, 4),
        fork_join_seconds=2.5e-6,
    )


@dataclass(frozen=True, slots=True)
class DraftTerms:
    """Seconds that the draft model attributes to one stage, each [N].

    Attributes:
        arithmetic: Multiply-adds at the reached vector width and independence, and function calls.
        instructions: Loads, stores and branches.
        l2: Lines that level 1 misses.
        l3: Lines that level 2 misses.
        dram: Lines that level 3 misses.
        total: All of them, as far as they do not overlap.
        independence: Fraction of the peak that the number of accumulators allows.
        pressure: Vector registers needed over those that exist.
    """

    arithmetic: Row
    instructions: Row
    l2: Row
    l3: Row
    dram: Row
    total: Row
    independence: Row
    pressure: Row


def stage_seconds(
    stage: Stage, footprint_bytes: Row, hardware: Hardware, calibration: Calibration
) -> DraftTerms:
    """Draft one stage.

    Args:
        stage: Its analysis.
        footprint_bytes: [N] bytes of all buffers of the program; what fits in a cache is still there
            when the kernel runs again.
        hardware: The machine's limits.
        calibration: Its speed.

    Returns:
        The terms.
    """
    tile = stage.tile
    one = np.float32(1.0)
    slot_seconds = np.float32(2.0 * hardware.lanes(4) / calibration.peak_flops)
    cores = stage.busy_cores
    blocks = stage.bodies / tile.iterations
    pressure = (tile.accumulators + tile.row_vectors + one) * np.float32(1.0 / hardware.vector_registers)
    # Results that find no register are loaded and stored at every step.
    spilled = np.maximum(one - one / pressure, 0.0) * tile.accumulators
    steps = tile.reduction * tile.accumulators * (one + tile.loads / tile.multiply_adds)
    in_flight = tile.accumulators * (one + np.float32(_WINDOW_INSTRUCTIONS) / steps)
    chains = np.minimum(in_flight * np.float32(1.0 / _INDEPENDENT_CHAINS), one)
    independence = np.asarray(chains * tile.reduces + (one - tile.reduces), np.float32)
    blocks = blocks * (one - stage.predicated)  # padding that no instruction is spent on
    slots = blocks * tile.multiply_adds * np.float32(stage.flops / 2.0)
    arithmetic: Row = slots * slot_seconds / independence
    if stage.transcendentals:
        arithmetic = arithmetic + stage.bodies * np.float32(stage.transcendentals * _TRANSCENDENTAL_SECONDS)
    branches = tile.branches * stage.executions * np.float32(_BRANCH_SLOTS)
    instructions = (blocks * (tile.loads + 2.0 * tile.stores + 3.0 * spilled) + branches) * slot_seconds
    capacities = np.array(
        [hardware.l1_bytes, hardware.l2_bytes, hardware.l3_bytes / hardware.cores], np.float32
    )
    cuts = cuts_of(stage.traffic.working_set, capacities * np.float32(_USABLE))
    moved = at_cuts(stage.traffic.moved, cuts) * stage.executions
    per_core = footprint_bytes * np.float32(1.0 / hardware.cores)
    # A program that fits in a cache as a whole runs warm from the second time on.
    cold = np.clip(2.0 * per_core / capacities[:, None] - 1.0, 0.0, 1.0)
    moved *= cold.astype(np.float32)
    l2 = moved[0] * np.float32(1.0 / calibration.l2_bytes_per_second) / cores
    l3 = moved[1] * np.float32(1.0 / calibration.l3_bytes_per_second) / cores
    dram = moved[2] * np.float32(1.0 / calibration.dram_bytes_per_second)
    arithmetic, instructions = arithmetic / cores, instructions / cores
    total = np.hypot(arithmetic, instructions) + np.float32(_EXPOSED_TRAFFIC) * (l2 + l3 + dram)
    return DraftTerms(
        arithmetic,
        instructions,
        l2,
        l3,
        dram,
        total,
        independence,
        pressure,
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """The draft of a program.

    Attributes:
        stages: Terms of each stage.
        overhead: [N] seconds of parallel regions.
        seconds: [N] predicted run time.
    """

    stages: tuple[DraftTerms, ...]
    overhead: Row
    seconds: Row


def draft_of(program: Program, hardware: Hardware, calibration: Calibration) -> Draft:
    """Draft a program.

    Args:
        program: Its analysis.
        hardware: The machine's limits.
        calibration: Its speed.

    Returns:
        Seconds and where they go.
    """
    stages = tuple(
        stage_seconds(stage, program.footprint_bytes, hardware, calibration) for stage in program.stages
    )
    overhead = program.parallel_regions * np.float32(
        calibration.fork_join_seconds if hardware.cores > 1 else 0.0
    )
    seconds = overhead + np.float32(1e-9)
    for terms in stages:
        seconds = seconds + terms.total
    return Draft(stages, overhead, seconds)


def draft_seconds(
    nests: ProgramNests, hardware: Hardware, calibration: Calibration | None = None
) -> NDArray[np.float32]:
    """Predict run times without any measurement of the program.

    Args:
        nests: N candidates.
        hardware: The machine's limits.
        calibration: Its speed; guessed from its limits when absent.

    Returns:
        [N] seconds.
    """
    calibration = calibration or default_calibration(hardware)
    seconds = np.empty(nests.size, np.float32)
    for rows, program in programs_of(nests, hardware):
        seconds[slice(None) if rows is None else rows] = draft_of(program, hardware, calibration).seconds
    return seconds
