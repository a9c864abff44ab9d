"""The access pattern of a sum: its iterators, its operands, and which iterator occurs where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search_space.tvm_api import tirx, tvm, tvm_ffi

Vector = tuple[bool, ...]
"""Characteristic vector of an iterator: whether it occurs in the index of the result and of each operand."""


@dataclass(frozen=True, slots=True, eq=False)
class Iterator:
    """One iterator of a sum.

    Attributes:
        var: The variable that stands for it.
        extent: Trip count.
        is_reduction: Whether it runs over the sum.
    """

    var: Any
    extent: int
    is_reduction: bool


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """An access to one element.

    Attributes:
        buffer: What is accessed.
        indices: Index expressions in the iterators.
    """

    buffer: Any
    indices: tuple[Any, ...]

    @property
    def dtype(self) -> str:
        """Element type."""
        return str(self.buffer.dtype)

    def contains(self, var: Any) -> bool:
        """Report whether some index depends on an iterator."""
        return any(occurs(var, index) for index in self.indices)

    def dimension(self, var: Any) -> int:
        """Return the dimension that is indexed by an iterator alone, -1 if there is none or another use."""
        found = [d for d, index in enumerate(self.indices) if occurs(var, index)]
        if len(found) == 1 and getattr(self.indices[found[0]], "same_as", lambda v: False)(var):
            return found[0]
        return -1


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """``result[...] += value``, where the value combines elements of operands.

    Attributes:
        iterators: Spatial and reduction iterators in binding order.
        result: Where the sum is stored.
        operands: What the value reads, in order of appearance.
        value: The expression.
    """

    iterators: tuple[Iterator, ...]
    result: Operand
    operands: tuple[Operand, ...]
    value: Any

    def vector(self, iterator: Iterator, order: Sequence[int] | None = None) -> Vector:
        """Return the characteristic vector of an iterator.

        Args:
            iterator: One of the iterators.
            order: Positions of the operands in the order that is wanted; as they are when absent.
        """
        operands = self.operands if order is None else [self.operands[o] for o in order]
        return tuple(operand.contains(iterator.var) for operand in (self.result, *operands))


def occurs(var: Any, expression: Any) -> bool:
    """Report whether a variable occurs in an expression."""
    if not hasattr(expression, "ty"):
        return False
    found: list[bool] = []

    def visit(node: Any) -> None:
        if node.same_as(var):
            found.append(True)

    tvm_ffi.structural_walk(expression, [(tvm.ir.Var, visit)])
    return bool(found)


def pattern_of(
    iterators: Sequence[Iterator], buffer: Any, indices: Sequence[Any], value: Any
) -> Pattern | None:
    """Describe ``buffer[indices] += value``; None where it is no arithmetic on loads."""
    operands: list[Operand] = []
    if not _collect(value, operands) or not operands:
        return None
    return Pattern(tuple(iterators), Operand(buffer, tuple(indices)), tuple(operands), value)


def pattern_of_block(block: Any) -> Pattern | None:
    """Describe a TensorIR block that adds to the element that it stores; None for any other block."""
    store = block.body
    if not isinstance(store, tirx.BufferStore) or not isinstance(store.value, tirx.Add):
        return None
    value = None
    for own, other in ((store.value.a, store.value.b), (store.value.b, store.value.a)):
        if isinstance(own, tvm.ir.TensorLoad) and own.source.same_as(store.buffer):
            value = other
    kinds = [int(iv.iter_type) for iv in block.iter_vars]
    if value is None or any(kind not in (0, 2) for kind in kinds):
        return None
    iterators = [
        Iterator(iv.var, int(iv.dom.extent), kind == 2)
        for iv, kind in zip(block.iter_vars, kinds, strict=True)
    ]
    return pattern_of(iterators, store.buffer, store.indices, value)


def alignments(wanted: Any, found: Any) -> list[tuple[int, ...]]:
    """Compare two values up to what they load; products and sums may have their sides swapped.

    Args:
        wanted: The value of an intrinsic.
        found: The value of a block.

    Returns:
        Every way in which the loads correspond: for each load of ``wanted``, in order of appearance, the
        position of the load of ``found``. Nothing where the forms or the element types differ.
    """
    return _align(wanted, found, 0)


def _align(wanted: Any, found: Any, first: int) -> list[tuple[int, ...]]:
    if type(wanted) is not type(found) or str(wanted.ty) != str(found.ty):
        return []
    if isinstance(wanted, tvm.ir.TensorLoad):
        return [(first,)]
    if isinstance(wanted, tirx.Cast):
        return _align(wanted.value, found.value, first)
    middle = first + _count(found.a)
    straight, swapped = ((found.a, first), (found.b, middle)), ((found.b, middle), (found.a, first))
    return [
        (*one, *two)
        for (left, at_left), (right, at_right) in (straight, swapped)
        for one in _align(wanted.a, left, at_left)
        for two in _align(wanted.b, right, at_right)
    ]


def _count(value: Any) -> int:
    found: list[Operand] = []
    _collect(value, found)
    return len(found)


def _collect(value: Any, operands: list[Operand]) -> bool:
    """Gather the loads of a value in order; report whether nothing else is in it."""
    if isinstance(value, tvm.ir.TensorLoad):
        operands.append(Operand(value.source, tuple(value.indices)))
        return True
    if isinstance(value, tirx.Cast):
        return _collect(value.value, operands)
    if isinstance(value, (tirx.Add, tirx.Mul)):
        return _collect(value.a, operands) and _collect(value.b, operands)
    return False
