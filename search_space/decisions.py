"""Decision slots and their tables: a schedule as a row of small integers (no TVM here).

A population is an ``int32`` matrix [N, S]; entry (n, s) indexes the table of slot s. All moves
(sampling, mutation, crossover) act on the whole matrix at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
Table = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One decision: a table whose rows are the values that it can take.

    Attributes:
        name: Unique within a space, such as ``C.tile.j`` or ``C.pack.B``.
        table: [K, P] the K values, each a vector of P integers (P = 1 for plain choices).
        neighbours: [K, M] indices of the values that one small move leads to (padded by repeating).
        parts: [P, K] the table transposed, for arithmetic.
    """

    name: str
    table: Table
    neighbours: NDArray[np.int32]
    parts: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", np.ascontiguousarray(self.table.T, dtype=np.float32))

    @property
    def size(self) -> int:
        """Number of values."""
        return int(self.table.shape[0])

    def held(self) -> Slot:
        """Return the slot with its first value only."""
        return Slot(self.name, self.table[:1], np.zeros((1, 1), np.int32))


def choice(name: str, values: tuple[int, ...]) -> Slot:
    """Make a slot over plain integers; a small move goes to the value before or after.

    Args:
        name: Name of the decision.
        values: Its values in their natural order.

    Returns:
        The slot.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError(f"decision {name} has no value to choose from")
    size = len(values)
    index = np.arange(size)
    neighbours = np.stack([np.maximum(index - 1, 0), np.minimum(index + 1, size - 1)], axis=1)
    if size > 1:
        neighbours[0, 0] = 1
        neighbours[-1, 1] = size - 2
    return Slot(name, np.array(values, dtype=np.int64)[:, None], neighbours.astype(np.int32))


def tile(name: str, extent: int, parts: int, limits: tuple[int | None, ...] = ()) -> Slot:
    """Make a slot over the ordered factorisations of an extent.

    Args:
        name: Name of the decision.
        extent: The extent to split exactly.
        parts: Number of factors, outermost first.
        limits: Largest value of each factor (``None``: no limit); missing entries mean no limit.

    Returns:
        The slot; a small move shifts one prime factor between two parts.

    Raises:
        ValueError: If the extent is not positive or nothing satisfies the limits.
    """
    if extent < 1 or parts < 1:
        raise ValueError(f"decision {name}: extent {extent} and parts {parts} must be positive")
    table, neighbours = _tile_table(extent, parts, tuple(limits) + (None,) * (parts - len(limits)))
    if not len(table):
        raise ValueError(f"decision {name}: no factorisation of {extent} satisfies {limits}")
    return Slot(name, table, neighbours)


@lru_cache(maxsize=4096)
def _tile_table(extent: int, parts: int, limits: tuple[int | None, ...]) -> tuple[Table, NDArray[np.int32]]:
    rows = [
        row
        for row in _factorisations(extent, parts)
        if all(limit is None or factor <= limit for factor, limit in zip(row, limits, strict=True))
    ]
    index = {row: i for i, row in enumerate(rows)}
    primes = prime_factors(extent)
    moves: list[list[int]] = []
    for row in rows:
        found: list[int] = []
        for source in range(parts):
            for goal in range(parts):
                for prime in primes if source != goal else ():
                    if row[source] % prime == 0:
                        moved = list(row)
                        moved[source] //= prime
                        moved[goal] *= prime
                        if tuple(moved) in index:
                            found.append(index[tuple(moved)])
        moves.append(found or [index[row]])
    width = max((len(m) for m in moves), default=1)
    neighbours = np.array([(m * width)[:width] for m in moves], dtype=np.int32).reshape(len(rows), width)
    table = np.array(rows, dtype=np.int64).reshape(len(rows), parts)
    return table, neighbours


@lru_cache(maxsize=4096)
def _factorisations(extent: int, parts: int) -> tuple[tuple[int, ...], ...]:
    if parts == 1:
        return ((extent,),)
    return tuple(
        (first, *rest) for first in divisors(extent) for rest in _factorisations(extent // first, parts - 1)
    )


@lru_cache(maxsize=65536)
def divisors(extent: int) -> tuple[int, ...]:
    """Return all divisors of a positive integer in increasing order."""
    small = [d for d in range(1, int(extent**0.5) + 1) if extent % d == 0]
    return tuple(sorted(set(small + [extent // d for d in small])))


@lru_cache(maxsize=65536)
def prime_factors(extent: int) -> tuple[int, ...]:
    """Return the distinct prime factors of a positive integer in increasing order."""
    found: list[int] = []
    divisor = 2
    while divisor * divisor <= extent:
        if extent % divisor == 0:
            found.append(divisor)
            while extent % divisor == 0:
                extent //= divisor
        divisor += 1
    if extent > 1:
        found.append(extent)
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class DecisionSpace:
    """The slots of one sketch, and the moves on whole populations of their values."""

    slots: tuple[Slot, ...]
    sizes: NDArray[np.int64] = field(init=False)
    places: dict[str, int] = field(init=False)
    _multipliers: NDArray[np.uint64] = field(init=False, repr=False)
    _near: NDArray[np.int32] = field(init=False, repr=False)
    _starts: NDArray[np.int64] = field(init=False, repr=False)
    _widths: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = [s.name for s in self.slots]
        object.__setattr__(self, "places", {name: place for place, name in enumerate(names)})
        if len(set(names)) != len(names):
            raise ValueError(f"decision names repeat: {sorted(n for n in names if names.count(n) > 1)}")
        object.__setattr__(self, "sizes", np.array([s.size for s in self.slots], dtype=np.int64))
        hashing = np.random.default_rng(len(self.slots))
        multipliers = hashing.integers(0, 2**63, len(self.slots), dtype=np.uint64) * np.uint64(2) + np.uint64(
            1
        )
        object.__setattr__(self, "_multipliers", multipliers)
        # The neighbours of all slots in one row, so that a move of any slot is one look-up.
        tables = [s.neighbours for s in self.slots]
        lengths = np.array([table.size for table in tables], dtype=np.int64)
        empty = np.zeros(0, np.int32)
        object.__setattr__(self, "_near", np.concatenate([empty, *(table.ravel() for table in tables)]))
        object.__setattr__(self, "_starts", np.cumsum(lengths) - lengths)
        object.__setattr__(self, "_widths", np.array([table.shape[1] for table in tables], dtype=np.int64))

    def check(self, rows: Rows) -> None:
        """Raise ValueError unless every entry indexes its slot's table."""
        if rows.ndim != 2 or rows.shape[1] != len(self.slots):
            raise ValueError(f"decisions have shape {rows.shape}, expected [N, {len(self.slots)}]")
        if rows.size and (rows.min() < 0 or bool(np.any(rows >= self.sizes))):
            raise ValueError("a decision lies outside its table")

    def sample(self, rng: np.random.Generator, count: int) -> Rows:
        """Draw rows uniformly from the tables: [count, S]."""
        draws = rng.random((count, len(self.slots)))
        return (draws * self.sizes).astype(np.int32)

    def mutate(self, rng: np.random.Generator, rows: Rows, moves: int = 1, jump: float = 0.2) -> Rows:
        """Change up to ``moves`` slots of each row: by a small move, or with chance ``jump`` a fresh draw."""
        out = rows.copy()
        free = np.nonzero(self.sizes > 1)[0]
        if not len(free) or not len(rows):
            return out
        every = np.arange(len(rows))
        for _ in range(moves):
            picked = free[(rng.random(len(rows)) * len(free)).astype(np.int64)]
            jumps = rng.random(len(rows)) < jump
            draws = rng.random(len(rows))
            fresh = (draws * self.sizes[picked]).astype(np.int32)
            width = self._widths[picked]
            near = self._near[
                self._starts[picked] + out[every, picked] * width + (draws * width).astype(np.int64)
            ]
            out[every, picked] = np.where(jumps, fresh, near)
        return out

    def crossover(self, rng: np.random.Generator, mothers: Rows, fathers: Rows) -> Rows:
        """Take each slot from one parent or the other, with equal chance."""
        return np.where(rng.random(mothers.shape) < 0.5, mothers, fathers).astype(np.int32)

    def keys(self, rows: Rows) -> NDArray[np.uint64]:
        """Return one number for each row, equal for equal rows (and else with chance 2**-64): [N]."""
        return np.asarray((rows.astype(np.uint64) * self._multipliers).sum(axis=1, dtype=np.uint64))

    def columns(self, rows: Rows) -> Columns:
        """Look the values of a population up."""
        return Columns(self, rows)

    def neighbourhood(self, row: Rows) -> Rows:
        """Return every row that differs from one row by a small move of one slot (or one choice)."""
        found: list[Rows] = []
        for s, slot in enumerate(self.slots):
            values = (
                range(slot.size)
                if slot.table.shape[1] == 1
                else sorted(set(slot.neighbours[row[s]].tolist()))
            )
            for value in values:
                if value != row[s]:
                    moved = row.copy()
                    moved[s] = value
                    found.append(moved)
        return np.array(found, dtype=np.int32).reshape(len(found), len(self.slots))


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The values of a population by slot name; what was looked up once is kept.

    Attributes:
        space: The space that the rows belong to.
        rows: [N, S] table indices.
    """

    space: DecisionSpace
    rows: Rows
    _found: dict[int, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> int:
        """Number of candidates."""
        return int(self.rows.shape[0])

    def tile(self, name: str) -> NDArray[np.int64]:
        """Return the factor vectors of a tile slot: [N, P]."""
        s = _position(self.space, name)
        return self.space.slots[s].table[self.rows[:, s]]

    def choice(self, name: str) -> NDArray[np.int64]:
        """Return the values of a choice slot: [N]."""
        s = _position(self.space, name)
        return self.space.slots[s].table[:, 0].take(self.rows[:, s])

    def factors(self, name: str) -> NDArray[np.float32]:
        """Return the factor vectors of a tile slot for arithmetic: [N, P], the N of a part adjacent."""
        s = _position(self.space, name)
        found = self._found.get(s)
        if found is None:
            found = self._found[s] = self.space.slots[s].parts.take(self.rows[:, s], axis=1).T
        return found


def _position(space: DecisionSpace, name: str) -> int:
    place = space.places.get(name)
    if place is None:
        raise KeyError(f"no decision is named {name!r}; there are {list(space.places)}")
    return place
