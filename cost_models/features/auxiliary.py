"""Columns of the stages besides the main one, and of the program as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cost_models.analysis.loops import Row, Scalar
from cost_models.analysis.program import Program
from cost_models.analysis.stage import Stage
from cost_models.analytic import Calibration, Draft
from cost_models.features.columns import AUXILIARY_NAMES

if TYPE_CHECKING:
    from search_space.hardware import Hardware


def auxiliary_columns(program: Program, hardware: Hardware) -> dict[str, Scalar]:
    """Return the columns of the auxiliary group.

    Args:
        program: The analysis of all stages.
        hardware: The machine's limits.

    Returns:
        Unscaled values by column name; empty if there is only one stage.
    """
    others = [stage for index, stage in enumerate(program.stages) if index != program.main]
    if not others:
        return {}
    columns: dict[str, Scalar] = {}
    for stage in others:
        runs = (stage.executions > 0).astype(np.float32)
        _add(columns, "aux_stages", runs)
        read, written = stage.bytes_moved(writes=False), stage.bytes_moved(writes=True)
        both = read + written
        _add(columns, "aux_read", read)
        _add(columns, "aux_written", written)
        _add(columns, "aux_flops", stage.bodies * np.float32(stage.flops))
        _add(columns, "aux_transcendentals", stage.bodies * np.float32(stage.transcendentals))
        _add(columns, "aux_scalar", both * (stage.tile.lanes <= 1.0))
        _add(columns, "aux_strided", _strided(stage))
        _add(columns, "aux_serial", both * (stage.busy_cores <= 1.0))
        _most(columns, "aux_executions", stage.executions)
        _most(
            columns,
            "aux_working_set",
            runs * stage.traffic.working_set[0] * np.float32(1.0 / hardware.l1_bytes),
        )
        if stage.name in AUXILIARY_NAMES:
            _add(columns, f"aux_{stage.name}", both)
    return columns


def _add(columns: dict[str, Scalar], name: str, value: Row) -> None:
    columns[name] = columns.get(name, 0.0) + value


def _most(columns: dict[str, Scalar], name: str, value: Row) -> None:
    columns[name] = np.maximum(columns.get(name, 0.0), value)


def _strided(stage: Stage) -> Row:
    total: Row = np.zeros(stage.loops.size, np.float32)
    for buffer, footprint, stride in zip(stage.buffers, stage.footprints, stage.tile.strides, strict=True):
        if not buffer.is_local:
            total = total + footprint.elements[0] * buffer.element_bytes * stage.executions * (stride > 1.0)
    return total


def program_columns(
    program: Program, draft: Draft, hardware: Hardware, calibration: Calibration
) -> dict[str, Scalar]:
    """Return the columns of the program and draft groups.

    Args:
        program: The analysis of all stages.
        draft: Its draft.
        hardware: The machine's limits.
        calibration: Its speed.

    Returns:
        Unscaled values by column name.
    """
    main = draft.stages[program.main]
    share = np.float32(1.0) / draft.seconds
    peak = calibration.peak_flops * hardware.cores
    return {
        "program_footprint_l2": program.footprint_bytes * np.float32(1.0 / hardware.l2_bytes),
        "program_footprint_l3": program.footprint_bytes * np.float32(1.0 / hardware.l3_bytes),
        "program_workspace": program.workspace_bytes * np.float32(1.0 / hardware.l2_bytes),
        "draft_nanoseconds": draft.seconds * np.float32(1e9),
        "draft_efficiency": np.float32(program.useful_flops / peak) * share,
        "draft_arithmetic": main.arithmetic * share,
        "draft_instructions": main.instructions * share,
        "draft_l2": main.l2 * share,
        "draft_l3": main.l3 * share,
        "draft_dram": main.dram * share,
        "draft_auxiliary": np.float32(1.0) - (main.total + draft.overhead) * share,
        "draft_overhead": draft.overhead * share,
    }
