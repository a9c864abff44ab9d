"""A loop nest turned into contiguous float32 rows, one per loop, which is what makes it fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space.nest import Access, Floats, LoopNest

Row = NDArray[np.float32]
"""[N] float32: one value per candidate."""

Scalar = float | Row
"""A value that is the same for all candidates, or a :data:`Row`."""


@dataclass(frozen=True, slots=True)
class Term:
    """How one loop moves in one dimension of a buffer.

    Attributes:
        dimension: The dimension.
        step: Absolute coefficient.
        applies: 1.0 where the coefficient is not zero; ``None`` if it never is.
    """

    dimension: int
    step: Scalar
    applies: Row | None


@dataclass(frozen=True, slots=True)
class Buffer:
    """One access in loop-major form.

    Attributes:
        name: The buffer's name.
        element_bytes: Bytes of one element.
        is_write: Whether the body writes it.
        is_local: Whether it lives in registers or on the stack.
        shape: Extent of each dimension.
        strides: Elements between neighbours of each dimension.
        elements: Elements of the whole buffer.
        terms: For each loop, the dimensions that it moves in.
        indexed: For each loop, 1.0 where it has more than one iteration and moves in the buffer,
            or ``None`` where it does so for no candidate.
    """

    name: str
    element_bytes: int
    is_write: bool
    is_local: bool
    shape: tuple[Scalar, ...]
    strides: tuple[Scalar, ...]
    elements: Scalar
    terms: tuple[tuple[Term, ...], ...]
    indexed: tuple[Row | None, ...]


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of one stage that iterate more than once for any candidate, outer to inner.

    Attributes:
        places: [L] where each loop stands among all loops of the nest.
        extents: [L, N] trip counts.
        moves: [L, N] 1.0 where the trip count is above 1.
        inner: [L + 1, N] iterations below each cut; cut l keeps loops l and deeper together.
        outer: [L + 1, N] how often the part below each cut runs in one execution of the nest.
        is_reduction: [L] whether the loop is a reduction.
        vectorised: For each loop, 1.0 where it is the vector lanes; ``None`` if for no candidate.
        unrolled: The same for loops that are unrolled.
        parallel: The same for loops whose iterations are shared among threads.
    """

    places: tuple[int, ...]
    extents: NDArray[np.float32]
    moves: NDArray[np.float32]
    inner: NDArray[np.float32]
    outer: NDArray[np.float32]
    is_reduction: tuple[bool, ...]
    vectorised: tuple[Row | None, ...]
    unrolled: tuple[Row | None, ...]
    parallel: tuple[Row | None, ...]

    @property
    def depth(self) -> int:
        """Number of loops."""
        return int(self.extents.shape[0])

    @property
    def size(self) -> int:
        """Number of candidates."""
        return int(self.extents.shape[1])

    def growth(self, loop: int, mask: Row) -> Row:
        """Return [N]: the trip count where a 0/1 mask is set, 1 elsewhere."""
        return np.asarray(np.float32(1.0) + mask * (self.extents[loop] - np.float32(1.0)))


def loops_of(nest: LoopNest) -> Loops:
    """Transpose a nest's loops and drop those that never iterate.

    Args:
        nest: A stage of N candidates.

    Returns:
        Its loops as contiguous float32 rows.
    """
    size = nest.size
    places = np.flatnonzero(nest.extents.max(axis=0, initial=1.0) > 1).tolist()
    depth = len(places)
    extents = np.empty((depth, size), np.float32)
    for loop, place in enumerate(places):
        extents[loop] = nest.extents[:, place]
    inner = np.ones((depth + 1, size), np.float32)
    outer = np.ones((depth + 1, size), np.float32)
    for loop in range(depth - 1, -1, -1):
        np.multiply(inner[loop + 1], extents[loop], out=inner[loop])
    for loop in range(depth):
        np.multiply(outer[loop], extents[loop], out=outer[loop + 1])
    return Loops(
        places=tuple(places),
        extents=extents,
        moves=(extents > 1).astype(np.float32),
        inner=inner,
        outer=outer,
        is_reduction=tuple(bool(nest.kinds[place]) for place in places),
        vectorised=_flags(nest.vectorised, places),
        unrolled=_flags(nest.unrolled, places),
        parallel=_flags(nest.parallel, places),
    )


def _flags(table: NDArray[np.bool_], places: list[int]) -> tuple[Row | None, ...]:
    if table.strides[0] == 0 and len(table):
        # The same for every candidate.
        ones = np.ones(len(table), np.float32)
        return tuple(ones if table[0, place] else None for place in places)
    columns = [table[:, place] for place in places]
    return tuple(column.astype(np.float32) if column.any() else None for column in columns)


def buffer_of(access: Access, loops: Loops) -> Buffer:
    """Keep the non-zero coefficients of an access.

    Coefficients stored with N innermost ([D, L, N] in memory, seen as [N, D, L]) are read about
    five times faster than with L innermost; ones that do not depend on the candidate are free.

    Args:
        access: An access of a nest with the same loops.
        loops: The nest's loops.

    Returns:
        The access in loop-major form.
    """
    size = loops.size
    shape = np.atleast_2d(np.asarray(access.shape))
    coefficients = np.asarray(access.coefficients)
    if coefficients.ndim == 2:
        coefficients = coefficients[None]
    dimensions = max(shape.shape[1], coefficients.shape[1])
    coefficients = np.broadcast_to(coefficients, (size, dimensions, coefficients.shape[2]))
    terms: list[tuple[Term, ...]] = []
    indexed: list[Row | None] = []
    constant = size == 1 or coefficients.strides[0] == 0
    # What is used by any candidate of a sketch need not be by a population of one.
    used = access.used
    if constant:
        used = coefficients[0] != 0
    elif used is None:
        used = _used(coefficients)
    for loop, place in enumerate(loops.places):
        found: list[Term] = []
        mask: Row | None = None
        for dimension in np.flatnonzero(used[:, place]).tolist():
            here = loops.moves[loop]
            if constant:
                term = Term(dimension, abs(float(coefficients[0, dimension, place])), None)
            else:
                column = np.abs(coefficients[:, dimension, place].astype(np.float32, copy=False))
                applies = None if column.min() > 0 else (column > 0).astype(np.float32)
                term = Term(dimension, column, applies)
                here = here if applies is None else here * applies
            found.append(term)
            mask = here if mask is None or mask is here else np.maximum(mask, here)
        terms.append(tuple(found))
        indexed.append(mask)
    extents = _shape_of(shape, size, dimensions)
    strides: list[Scalar] = [1.0]
    for extent in reversed(extents):
        strides.append(strides[-1] * extent)
    return Buffer(
        name=access.name,
        element_bytes=access.element_bytes,
        is_write=access.is_write,
        is_local=access.is_local,
        shape=extents,
        strides=tuple(reversed(strides[:-1])),
        elements=strides[-1],
        terms=tuple(terms),
        indexed=tuple(indexed),
    )


def _used(coefficients: Floats) -> NDArray[np.bool_]:
    """Return [D, L]: whether a coefficient differs from zero for any candidate."""
    if coefficients.strides[0] == coefficients.itemsize:
        flipped = coefficients.transpose(1, 2, 0)
        return np.asarray((flipped.max(axis=2) != 0) | (flipped.min(axis=2) != 0))
    return np.asarray(coefficients.any(axis=0))


def _shape_of(shape: Floats, size: int, dimensions: int) -> tuple[Scalar, ...]:
    shape = np.broadcast_to(shape, (shape.shape[0], dimensions))
    if size == 1 or shape.shape[0] == 1 or shape.strides[0] == 0:
        return tuple(shape[0].tolist())
    # One extent for all candidates stays a number: arithmetic with it is free.
    same = (shape == shape[:1]).all(axis=0).tolist()
    return tuple(
        float(shape[0, dimension]) if same[dimension] else shape[:, dimension].astype(np.float32)
        for dimension in range(dimensions)
    )
