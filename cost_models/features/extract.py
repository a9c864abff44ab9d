"""From nests to the feature matrix, the whole population at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cost_models.analysis.program import Program, programs_of
from cost_models.analytic import Calibration, Draft, default_calibration, draft_of
from cost_models.features.auxiliary import auxiliary_columns, program_columns
from cost_models.features.buffers import buffer_columns
from cost_models.features.columns import COLUMN_INDEX, COLUMNS
from cost_models.features.main_stage import cache_columns, loop_columns, parallel_columns, register_columns
from search_space.nest import ProgramNests

if TYPE_CHECKING:
    from search_space.hardware import Hardware

_LOG2_E = np.float32(1.0 / np.log(2.0))


def extract(
    nests: ProgramNests, hardware: Hardware, calibration: Calibration | None = None
) -> NDArray[np.float32]:
    """Compute the features of a population.

    Args:
        nests: N candidates of any sketch.
        hardware: The machine's limits.
        calibration: Its speed; guessed from its limits when absent.

    Returns:
        [N, F] finite values, columns as in :data:`~cost_models.features.columns.COLUMNS`. Each row
        depends on its candidate only.
    """
    return extract_with_draft(nests, hardware, calibration)[0]


def extract_with_draft(
    nests: ProgramNests, hardware: Hardware, calibration: Calibration | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute features and draft from one analysis.

    Args:
        nests: N candidates of any sketch.
        hardware: The machine's limits.
        calibration: Its speed; guessed from its limits when absent.

    Returns:
        [N, F] features and [N] draft seconds.
    """
    calibration = calibration or default_calibration(hardware)
    parts: list[tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]] = []
    for rows, program in programs_of(nests, hardware):
        draft = draft_of(program, hardware, calibration)
        table = _table(program, draft, hardware, calibration)
        if rows is None:
            return np.ascontiguousarray(table.T), draft.seconds
        parts.append((rows, table, draft.seconds))
    features = np.empty((nests.size, len(COLUMNS)), np.float32)
    seconds = np.empty(nests.size, np.float32)
    for rows, table, part_seconds in parts:
        features[rows] = table.T
        seconds[rows] = part_seconds
    return features, seconds


def _table(
    program: Program, draft: Draft, hardware: Hardware, calibration: Calibration
) -> NDArray[np.float32]:
    """Return [F, N]; columns that do not apply are zero."""
    main = program.stages[program.main]
    caches, cuts = cache_columns(main, hardware)
    values = {
        **loop_columns(main, program.useful_flops),
        **register_columns(main, draft.stages[program.main]),
        **parallel_columns(main, program.parallel_regions, hardware.cores),
        **caches,
        **buffer_columns(main, program.roles, cuts, hardware),
        **auxiliary_columns(program, hardware),
        **program_columns(program, draft, hardware, calibration),
    }
    table = np.zeros((len(COLUMNS), main.loops.size), np.float32)
    for name, value in values.items():
        index = COLUMN_INDEX[name]
        row = table[index]
        if COLUMNS[index].is_log:
            np.add(value, np.float32(1.0), out=row)
            np.log(row, out=row)
            row *= _LOG2_E
        else:
            row[:] = value
    return table
