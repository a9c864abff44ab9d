"""Columns of the main stage: loops, registers, parallel tasks and caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.loops import Loops, Row, Scalar
from cost_models.analysis.stage import Stage
from cost_models.analysis.traffic import at_cuts, cuts_of
from cost_models.analytic import DraftTerms
from cost_models.features.columns import CAPACITIES, INNER_LOOPS, LEVELS

if TYPE_CHECKING:
    from search_space.hardware import Hardware


def capacities_of(hardware: Hardware) -> NDArray[np.float32]:
    """Return [K] bytes of the caches at which the intensity curve is sampled."""
    sizes = {"l1": hardware.l1_bytes, "l2": hardware.l2_bytes, "l3": hardware.l3_bytes / hardware.cores}
    return np.array([sizes[level] * part for level, part in CAPACITIES], np.float32)


def loop_columns(stage: Stage, useful_flops: float) -> dict[str, Scalar]:
    """Return the columns of the loop group.

    Args:
        stage: The main stage.
        useful_flops: Operations that the workload needs.

    Returns:
        Unscaled values by column name.
    """
    loops = stage.loops
    spatial: Scalar = 1.0
    reduction: Scalar = 1.0
    depth: Scalar = 0.0
    for loop in range(loops.depth):
        depth = depth + loops.moves[loop]
        if loops.is_reduction[loop]:
            reduction = reduction * loops.extents[loop]
        else:
            spatial = spatial * loops.extents[loop]
    flops = stage.bodies * np.float32(stage.flops)
    columns: dict[str, Scalar] = {
        "main_iterations": stage.bodies,
        "main_flops": flops,
        "main_useful_flops": useful_flops,
        "main_padding_waste": flops * np.float32(1.0 / max(useful_flops, 1.0)),
        "main_executions": stage.executions,
        "main_transcendentals": stage.bodies * np.float32(stage.transcendentals),
        "main_spatial": spatial,
        "main_reduction": reduction,
        "main_predicated": stage.predicated,
        "main_depth": depth,
    }
    extents, kinds = _innermost(loops)
    for place in range(INNER_LOOPS):
        columns[f"inner_extent_{place}"] = extents[place]
        columns[f"inner_kind_{place}"] = kinds[place]
    return columns


def _innermost(loops: Loops) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    extents = np.zeros((INNER_LOOPS, loops.size), np.float32)
    kinds = np.zeros((INNER_LOOPS, loops.size), np.float32)
    rank = np.zeros(loops.size, np.float32)
    least, most = 0, 0
    for loop in range(loops.depth - 1, -1, -1):
        if least >= INNER_LOOPS:
            break
        moves = loops.moves[loop]
        for place in range(least, min(most + 1, INNER_LOOPS)):
            here = moves * (rank == place)
            extents[place] += here * loops.extents[loop]
            kinds[place] += here * np.float32(2.0 if loops.is_reduction[loop] else 1.0)
        rank += moves
        least, most = int(rank.min()), int(rank.max())
    return extents, kinds


def register_columns(stage: Stage, terms: DraftTerms) -> dict[str, Scalar]:
    """Return the columns of the register group.

    Args:
        stage: The main stage.
        terms: Its draft.

    Returns:
        Unscaled values by column name.
    """
    tile = stage.tile
    each = np.float32(1.0) / tile.multiply_adds
    return {
        "vector_lanes": tile.lanes,
        "vector_registers": tile.vectors,
        "vector_use": tile.lane_fraction,
        "register_accumulators": tile.accumulators,
        "register_pressure": terms.pressure,
        "register_resident": tile.in_registers,
        "register_iterations": tile.iterations,
        "register_loads": tile.loads * each,
        "register_stores": tile.stores * each,
        "register_row": tile.row_vectors,
        "register_independence": terms.independence,
        "code_size": tile.straight_line,
        "code_reduction": tile.reduction_unroll,
        "code_branches": tile.branches * stage.executions,
    }


def parallel_columns(stage: Stage, regions: Row, cores: int) -> dict[str, Scalar]:
    """Return the columns of the parallel group.

    Args:
        stage: The main stage.
        regions: [N] fork/join regions of the program.
        cores: Threads that the kernel may use.

    Returns:
        Unscaled values by column name.
    """
    return {
        "parallel_tasks": stage.tasks,
        "parallel_tasks_per_core": stage.tasks * np.float32(1.0 / cores),
        "parallel_balance": stage.busy_cores * np.float32(1.0 / cores),
        "parallel_flops_per_task": stage.bodies * np.float32(stage.flops) / stage.tasks,
        "parallel_regions": regions,
    }


def cache_columns(stage: Stage, hardware: Hardware) -> tuple[dict[str, Scalar], NDArray[np.intp]]:
    """Return the columns of the cache group, and where each cache cuts the nest.

    Args:
        stage: The main stage.
        hardware: The machine's limits.

    Returns:
        Unscaled values by column name, and [3, N] cuts of l1, l2, l3.
    """
    capacities = capacities_of(hardware)
    cuts = cuts_of(stage.traffic.working_set, capacities)
    moved = at_cuts(stage.traffic.moved, cuts)
    moved *= stage.executions
    flops = np.maximum(stage.bodies * np.float32(max(stage.flops, 1.0)), 1.0)
    places = [CAPACITIES.index((level, 1.0)) for level in LEVELS]
    levels = cuts[places]
    below = at_cuts(stage.loops.inner, levels)
    fill = at_cuts(stage.traffic.working_set, levels)
    columns: dict[str, Scalar] = {}
    for index, (level, place) in enumerate(zip(LEVELS, places, strict=True)):
        columns[f"{level}_iterations"] = below[index]
        columns[f"{level}_sweeps"] = stage.bodies / below[index]
        columns[f"{level}_fill"] = fill[index] * np.float32(1.0 / capacities[place])
        columns[f"{level}_traffic"] = moved[place]
    intensity = flops / np.maximum(moved, 1.0)
    for place in range(len(CAPACITIES)):
        columns[f"intensity_{place}"] = intensity[place]
    return columns, levels
