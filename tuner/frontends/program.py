"""What every frontend returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_space.workload import Workload
from tuner.tensor_spec import TensorSpec


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network as imported: a Relax module whose ``main`` has its weights bound as constants.

    Attributes:
        name: Readable name, such as the file's stem.
        module: Relax IRModule; every shape static.
        inputs: Parameters of ``main`` in order.
        outputs: Results of ``main`` in order.
        shapeable: Names of the inputs whose shapes may be given, as the file has them.
    """

    name: str
    module: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    shapeable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """Functions without a network around them.

    Attributes:
        name: The text that named them.
        workloads: One per function.
    """

    name: str
    workloads: tuple[Workload, ...]


Program = Model | Operators

__all__ = ["Model", "Operators", "Program", "TensorSpec"]
