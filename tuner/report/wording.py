"""TVM traces in words, read from the log alone: no compiler, no generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

_PLACES = {"ComputeAt": "computed inside", "ReverseComputeAt": "written back inside"}
_SILENT = {"GetSBlock", "GetLoops", "GetChildBlocks", "GetConsumers", "GetProducers", "GetOutputBlocks"}


@dataclass(frozen=True, slots=True)
class _Loop:
    """A loop of a schedule: a readable name and, where it is known, its extent."""

    name: str
    extent: int | None = None


def trace_in_words(trace: Any) -> list[str]:
    """Describe the instructions of a trace, one line each, those that only look things up left out.

    Args:
        trace: A decoded trace, ``[instructions, decisions]``.

    Returns:
        Lines such as ``batch_matmul: loop 1 split into 2 x 8 x 8 x 4``. What cannot be read stands as the
        instruction's bare name.
    """
    if not isinstance(trace, list) or not trace or not isinstance(trace[0], list):
        return []
    words = _Words()
    for instruction in trace[0]:
        words.take(instruction)
    return words.lines


class _Words:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._blocks: dict[str, str] = {}
        self._loops: dict[str, _Loop] = {}

    def take(self, instruction: Any) -> None:
        """Read ``[kind, inputs, attributes, outputs]``; what has another form is said to be unreadable."""
        if not (isinstance(instruction, list) and len(instruction) == 4 and isinstance(instruction[0], str)):
            self.lines.append("an instruction that cannot be read")
            return
        kind, inputs, attributes, outputs = instruction
        try:
            self._take(kind, [str(i) for i in inputs], list(attributes), [str(o) for o in outputs])
        except (IndexError, TypeError):  # fewer inputs or outputs than the instruction has
            self.lines.append(f"{kind}, with arguments that cannot be read")

    def _take(
        self, kind: str, inputs: Sequence[str], attributes: Sequence[Any], outputs: Sequence[str]
    ) -> None:
        if kind == "GetLoops":
            block = self._block(inputs[0])
            self._loops |= {loop: _Loop(f"{block} loop {i}") for i, loop in enumerate(outputs)}
        elif kind == "Split":
            self._split(inputs, outputs)
        elif kind == "Fuse":
            parts = [self._loop(i) for i in inputs]
            known = [part.extent for part in parts if part.extent is not None]
            extent = prod(known) if len(known) == len(parts) else None
            self._loops[outputs[0]] = _Loop(" and ".join(part.name for part in parts), extent)
        else:
            self._name_outputs(kind, inputs, attributes, outputs)
            self._say(kind, inputs, attributes)

    def _split(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        loop = self._loop(inputs[0])
        factors = [int(word) if word.isdigit() else None for word in inputs[1:]]
        for place, (factor, output) in enumerate(zip(factors, outputs, strict=False), start=1):
            self._loops[output] = _Loop(f"{loop.name} part {place}", factor)
        if len(factors) > 1 and any(factor != 1 for factor in factors[1:]):
            shown = " x ".join("rest" if factor is None else str(factor) for factor in factors)
            self.lines.append(f"{loop.name} split into {shown}")

    def _name_outputs(
        self, kind: str, inputs: Sequence[str], attributes: Sequence[Any], outputs: Sequence[str]
    ) -> None:
        if kind == "GetSBlock" and attributes:
            self._blocks[outputs[0]] = str(attributes[0])
            return
        origin = self._block(inputs[0]) if inputs else "the function"
        names = {"CacheRead": f"copy read by {origin}", "CacheWrite": f"buffer of {origin}"}
        names |= {"RFactor": f"partial sums of {self._loop(inputs[0]).name}" if inputs else "partial sums"}
        names |= {"DecomposeReduction": f"start values of {origin}"}
        for place, output in enumerate(outputs):
            number = f" {place}" if len(outputs) > 1 else ""
            self._blocks[output] = names.get(kind, f"block of {origin}") + number

    def _say(self, kind: str, inputs: Sequence[str], attributes: Sequence[Any]) -> None:
        if kind in _SILENT or kind == "Reorder":
            return
        if kind in ("Parallel", "Vectorize", "Unroll"):
            loop = self._loop(inputs[0])
            verb = {"Parallel": "in parallel", "Vectorize": "vectorised", "Unroll": "unrolled"}[kind]
            size = f" ({loop.extent})" if loop.extent is not None else ""
            self.lines.append(f"{loop.name} {verb}{size}")
        elif kind in _PLACES and len(inputs) > 1:
            self.lines.append(f"{self._block(inputs[0])} {_PLACES[kind]} {self._loop(inputs[1]).name}")
        elif kind == "CacheRead":
            self.lines.append(f"{self._block(inputs[0])} reads input {attributes[0]} from a copy")
        elif kind == "CacheWrite":
            self.lines.append(f"{self._block(inputs[0])} writes to a buffer first")
        elif kind in ("ComputeInline", "ReverseComputeInline"):
            self.lines.append(f"{self._block(inputs[0])} inlined")
        elif kind == "DecomposeReduction":
            where = self._loop(inputs[1]).name if len(inputs) > 1 else "its loops"
            self.lines.append(f"{self._block(inputs[0])} starts its sums outside {where}")
        elif kind == "RFactor":
            self.lines.append(f"{self._loop(inputs[0]).name} summed in independent parts")
        elif kind in ("Annotate", "Unannotate"):
            value = f" = {inputs[1]}" if len(inputs) > 1 else ""
            self.lines.append(f"{kind.lower()}s {attributes[0] if attributes else '?'}{value}")
        else:
            where = self._block(inputs[0]) if inputs and inputs[0] in self._blocks else ""
            self.lines.append(f"{kind} {where}".strip())

    def _block(self, name: str) -> str:
        return self._blocks.get(name, name)

    def _loop(self, name: str) -> _Loop:
        return self._loops.get(name, _Loop(name))
