"""Which sketches take part in a round."""

import numpy as np
import pytest

from tuner.search.allocation import LEAST_POPULATION, OWED, SKETCHES, Standing, divide, owed

pytestmark = pytest.mark.pure

NAN = float("nan")


def rounds(standings: dict[str, Standing], count: int = 200) -> dict[str, int]:
    rng = np.random.default_rng(0)
    drawn = [divide(standings, 1024, rng) for _ in range(count)]
    assert all(size >= LEAST_POPULATION for sizes in drawn for size in sizes.values())
    return {name: sum(name in sizes for sizes in drawn) for name in standings}


def test_before_anything_worked_all_take_part_alike() -> None:
    standings = {"a": Standing(NAN, 0), "b": Standing(NAN, 3)}
    assert divide(standings, 1024, np.random.default_rng(0)) == {"a": 512, "b": 512}


def test_the_record_always_takes_part_and_what_was_ruled_out_hardly_ever() -> None:
    standings = {
        "record": Standing(1.0, 9),
        "close": Standing(1.1, 9),
        **{f"slow{i}": Standing(6.0, 9) for i in range(4)},
        "broken": Standing(NAN, 9),
    }
    seen = rounds(standings)
    assert seen["record"] == 200
    assert seen["close"] > 180
    assert seen["slow0"] < 100 and seen["broken"] < 100


def test_few_take_part_in_a_round() -> None:
    standings = {str(i): Standing(1.0 + i, 9) for i in range(10)}
    sizes = divide(standings, 1024, np.random.default_rng(0))
    assert len(sizes) == SKETCHES
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


def test_a_promising_sketch_is_owed_more_than_one_try() -> None:
    standings = {
        "record": Standing(1.0, 30),
        "close": Standing(1.5, 1),
        "closer": Standing(1.2, 2),
        "far": Standing(3.9, 2),
        "hopeless": Standing(4.5, 1),
        "untried": Standing(NAN, 0),
    }
    assert owed(standings) == ["close", "closer", "far"]
    assert rounds(standings)["close"] == 200


def test_the_nearer_to_the_record_the_more_tries() -> None:
    def tries(best: float) -> int:
        counts = range(1, 100)
        return next(n for n in counts if not owed({"a": Standing(1.0, 99), "b": Standing(best, n)}))

    assert tries(4.0) == tries(2.0) == 3 and tries(1.5) == 8 and tries(1.25) == 13
    assert owed({"a": Standing(1.0, 23)}) == ["a"] and not owed({"a": Standing(1.0, 24)})


def test_few_of_those_that_are_owed_a_try_take_part() -> None:
    standings = {"record": Standing(1.0, 40), **{str(i): Standing(1.3, i) for i in range(1, 9)}}
    sizes = divide(standings, 1024, np.random.default_rng(0))
    assert set(sizes) == {"record", *(str(i) for i in range(1, OWED + 1))}


def test_the_only_sketch_takes_part() -> None:
    assert divide({"a": Standing(1.0, 40)}, 1024, np.random.default_rng(0)) == {"a": 1024}
