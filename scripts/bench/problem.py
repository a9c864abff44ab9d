"""One benchmark problem as plain values, so that a peer's process needs nothing of ours to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """Name, shape and element type of one argument."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Problem:
    """An operator with its numbers.

    Attributes:
        text: As on the command line, such as ``gmm:1,512,512,512``.
        operator: Name of the operator, such as ``gmm``.
        values: Its numbers by name, defaults included.
        dtype: ``float32`` or another ``dtype=`` of the operator.
        inputs: What goes in, in our own layout (channels last).
        output: What comes out.
        flops: Floating-point operations of one call as TVM counts them.
    """

    text: str
    operator: str
    values: Mapping[str, int]
    dtype: str
    inputs: tuple[Spec, ...]
    output: Spec
    flops: float

    @property
    def slug(self) -> str:
        """The text as a file name."""
        return self.text.replace(":", "_").replace(",", "-").replace("=", "-")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Problem:
        """Rebuild what :meth:`to_dict` returned."""

        def spec(item: Mapping[str, Any]) -> Spec:
            return Spec(item["name"], tuple(item["shape"]), item["dtype"])

        return Problem(
            text=values["text"],
            operator=values["operator"],
            values=dict(values["values"]),
            dtype=values["dtype"],
            inputs=tuple(spec(item) for item in values["inputs"]),
            output=spec(values["output"]),
            flops=float(values["flops"]),
        )

    def arrays(self, seed: int = 0) -> dict[str, Array]:
        """Draw the inputs: uniform in [-1, 1), or small whole numbers; the same in every process.

        Args:
            seed: Seed of the draw.

        Returns:
            Name to array; a type that NumPy lacks (bfloat16) is one of ``ml_dtypes``.
        """
        random = np.random.default_rng(seed)
        return {spec.name: _draw(spec, random) for spec in self.inputs}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return NumPy's type for a TVM type name."""
    if name == "bfloat16":
        import ml_dtypes

        extended: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return extended
    return np.dtype(name)


def _draw(spec: Spec, random: np.random.Generator) -> Array:
    dtype = numpy_dtype(spec.dtype)
    if dtype.kind in "iu":
        return random.integers(0 if dtype.kind == "u" else -8, 8, spec.shape).astype(dtype)
    return (random.random(spec.shape, dtype=np.float32) * 2 - 1).astype(dtype)
