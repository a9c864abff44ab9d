"""Slots, tables and moves: everything that holds for any decision space."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.decisions import DecisionSpace, choice, divisors, prime_factors, tile

pytestmark = pytest.mark.pure

EXTENTS = st.integers(min_value=1, max_value=512)


@given(EXTENTS, st.integers(min_value=1, max_value=4))
def test_every_row_of_a_tile_table_covers_the_extent_exactly(extent: int, parts: int) -> None:
    slot = tile("t", extent, parts)
    assert (np.prod(slot.table, axis=1) == extent).all()
    assert len({tuple(row) for row in slot.table.tolist()}) == slot.size


@given(EXTENTS, st.integers(min_value=1, max_value=64))
def test_limits_bound_their_part(extent: int, limit: int) -> None:
    slot = tile("t", extent, 3, (None, None, limit))
    assert (slot.table[:, 2] <= limit).all()


@given(EXTENTS)
def test_a_small_move_shifts_one_prime_factor(extent: int) -> None:
    slot = tile("t", extent, 3)
    for row, near in zip(slot.table, slot.neighbours, strict=True):
        for other in slot.table[near]:
            ratios = [max(a, b) / min(a, b) for a, b in zip(row, other, strict=True) if a != b]
            assert len(ratios) in (0, 2)
            assert all(r in prime_factors(extent) for r in ratios)


@given(st.integers(min_value=1, max_value=4000))
def test_divisors_and_primes(value: int) -> None:
    assert list(divisors(value)) == [d for d in range(1, value + 1) if value % d == 0]
    assert all(value % p == 0 for p in prime_factors(value))


@pytest.mark.parametrize(("extent", "parts"), [(0, 2), (-3, 2), (4, 0)])
def test_impossible_tiles_are_refused(extent: int, parts: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        tile("t", extent, parts)


def test_a_choice_needs_a_value_and_names_are_unique() -> None:
    with pytest.raises(ValueError, match="no value"):
        choice("c", ())
    with pytest.raises(ValueError, match="repeat"):
        DecisionSpace((choice("c", (1,)), choice("c", (2,))))


def space() -> DecisionSpace:
    return DecisionSpace((tile("a", 48, 4), tile("b", 7, 2), choice("c", (0, 1, 2, 3)), choice("d", (5,))))


@given(st.integers(min_value=0, max_value=2**31))
def test_moves_stay_inside_the_tables(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = space().sample(rng, 64)
    space().check(rows)
    space().check(space().mutate(rng, rows, moves=3))
    other = space().sample(rng, 64)
    children = space().crossover(rng, rows, other)
    space().check(children)
    assert ((children == rows) | (children == other)).all()


def test_mutation_changes_at_most_as_many_slots_as_moves() -> None:
    rng = np.random.default_rng(0)
    rows = space().sample(rng, 500)
    assert (np.sum(space().mutate(rng, rows) != rows, axis=1) <= 1).all()
    assert (np.sum(space().mutate(rng, rows, moves=2) != rows, axis=1) <= 2).all()
    assert (space().mutate(rng, rows) != rows).any()


def test_the_same_seed_gives_the_same_population() -> None:
    one, two = (space().sample(np.random.default_rng(7), 100) for _ in range(2))
    assert (one == two).all()


def test_neighbours_differ_in_one_slot_and_are_all_there() -> None:
    rng = np.random.default_rng(1)
    row = space().sample(rng, 1)[0]
    near = space().neighbourhood(row)
    assert (np.sum(near != row, axis=1) == 1).all()
    assert len({tuple(r) for r in near.tolist()}) == len(near)
    assert sum(r[2] != row[2] for r in near) == 3


def test_columns_look_values_up_by_name() -> None:
    rows = space().sample(np.random.default_rng(2), 10)
    columns = space().columns(rows)
    assert (np.prod(columns.tile("a"), axis=1) == 48).all()
    assert set(columns.choice("c").tolist()) <= {0, 1, 2, 3}
    with pytest.raises(KeyError, match="no decision is named 'x'"):
        columns.choice("x")


@pytest.mark.parametrize("rows", [np.zeros((1, 3), np.int32), np.full((1, 4), 99, np.int32)])
def test_rows_that_do_not_fit_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError):
        space().check(rows)
