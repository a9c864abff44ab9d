"""Which features describe candidates of which kind of hardware."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cost_models.features.extract import extract_with_draft
from cost_models.gpu.features import extract_gpu
from cost_models.gpu.reported import CompilerReports, NothingReported
from search_space.nest import ProgramNests

if TYPE_CHECKING:
    from search_space.hardware import Machine

Described = tuple[NDArray[np.float32], NDArray[np.float32]]

_EXTRACTORS: Mapping[str, Callable[[ProgramNests, Any], Described]] = {
    "cpu": extract_with_draft,
    "gpu": extract_gpu,
}


Reports = CompilerReports | NothingReported

_REPORTS: Mapping[str, Callable[[], Reports]] = {"cpu": NothingReported, "gpu": CompilerReports}


def reports_for(hardware: Machine) -> Reports:
    """Return what learns from the reports of the compiler of one task's candidates."""
    return _REPORTS[hardware.kind]()


def describe(nests: ProgramNests, hardware: Machine) -> Described:
    """Compute the features of a population and the draft model's times for a kind of hardware.

    Args:
        nests: N candidates of any sketch for that hardware.
        hardware: The machine's limits; its ``kind`` chooses the columns.

    Returns:
        [N, F] features and [N] draft seconds.

    Raises:
        ValueError: If there are no features for the kind.
    """
    extract = _EXTRACTORS.get(hardware.kind)
    if extract is None:
        raise ValueError(f"hardware kind {hardware.kind!r}: no features; known are {', '.join(_EXTRACTORS)}")
    return extract(nests, hardware)
