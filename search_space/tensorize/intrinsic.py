"""What a hardware instruction computes, how it is called, and what a CPU must have for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from search_space.tensorize.pattern import Pattern, pattern_of_block
from search_space.tvm_api import structural_equal, tirx, tvm


@dataclass(frozen=True, slots=True, eq=False)
class Intrinsic:
    """An instruction (or a hand-written kernel) that replaces a small block.

    Attributes:
        name: Under which schedules and their traces call it.
        description: A PrimFunc: the computation as one TensorIR block that adds to its result.
        implementation: A PrimFunc with the same parameters that computes the same.
        features: Instruction sets, by LLVM's names, that the target must have.
        llvm: LLVM assembly with the functions that ``implementation`` calls by ``T.call_extern``; may be
            empty.
        pattern: What ``description`` computes.
    """

    name: str
    description: Any
    implementation: Any
    features: tuple[str, ...] = ()
    llvm: str = ""
    pattern: Pattern = field(init=False)

    def __post_init__(self) -> None:
        """Read the description.

        Raises:
            ValueError: If it is not one block that adds products of elements to its result.
        """
        pattern = pattern_of_block(_only_block(self.name, self.description))
        if pattern is None:
            raise ValueError(
                f"intrinsic {self.name}: the description must be one block such as "
                "C[i] = C[i] + A[k] * B[i, k], with casts at most"
            )
        object.__setattr__(self, "pattern", pattern)

    def is_same_as(self, other: Intrinsic) -> bool:
        """Report whether another intrinsic differs in nothing."""
        return (
            (self.name, self.features, self.llvm) == (other.name, other.features, other.llvm)
            and structural_equal(self.description, other.description)
            and structural_equal(self.implementation, other.implementation)
        )


def _only_block(name: str, description: Any) -> Any:
    found: list[Any] = []
    body = description.body
    while True:
        if isinstance(body, tirx.For):
            body = body.body
        elif isinstance(body, tvm.s_tir.SBlockRealize):
            found.append(body.block)
            body = body.block.body
        else:
            break
    if not found or isinstance(body, tirx.SeqStmt):
        raise ValueError(f"intrinsic {name}: the description must be one block under loops")
    return found[-1]
