"""Name, shape and element type of a model's input or output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: As the model file calls it.
        shape: Extents, outermost first.
        dtype: TVM's name of the element type, such as ``float32``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
