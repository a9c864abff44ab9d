"""A model as a straight line of calls on memory that was laid out when it was compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SPACES = ("input", "weights", "arena", "output")


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that a call reads or writes.

    Attributes:
        space: ``input`` or ``output`` (tensors of the caller), ``weights`` or ``arena`` (one block of
            memory each).
        position: Index of the input or output; offset in bytes in ``weights`` and ``arena``.
        shape: Extents, outermost first.
        dtype: TVM's name of the element type.
    """

    space: str
    position: int
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"space {self.space!r} is not one of {', '.join(SPACES)}")


@dataclass(frozen=True, slots=True)
class Step:
    """One call.

    Attributes:
        symbol: The compiled function.
        operands: Its arguments, results last.
    """

    symbol: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class StraightProgram:
    """All calls of one run, in order.

    Attributes:
        steps: The calls.
        arena_bytes: Memory for what lies between inputs and outputs; steps that are not in use at the same
            time share it.
    """

    steps: tuple[Step, ...]
    arena_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> StraightProgram:
        """Rebuild what :meth:`to_dict` returned.

        Raises:
            KeyError: If a field is missing.
            TypeError: If an entry has an unknown field.
        """

        def operand(item: Mapping[str, Any]) -> Operand:
            return Operand(**{**item, "shape": tuple(item["shape"])})

        steps = (Step(s["symbol"], tuple(operand(o) for o in s["operands"])) for s in values["steps"])
        return StraightProgram(tuple(steps), int(values["arena_bytes"]))
