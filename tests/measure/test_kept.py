"""Which builds are kept for later duels, and which are discarded."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tuner.measure.base import Plan
from tuner.measure.kept import RIVALS, KeptBuilds
from tuner.measure.protocols import Build

pytestmark = pytest.mark.pure


class Discarder:
    """A builder that only notes what it is to discard."""

    def __init__(self) -> None:
        self.discarded: list[Build] = []

    def submit(self, key: str, plan: Plan) -> Build:
        raise AssertionError("nothing is built here")

    def finished(self, timeout_seconds: float) -> list[Build]:
        raise AssertionError("nothing is built here")

    @contextmanager
    def quiet(self) -> Iterator[None]:
        yield

    def discard(self, build: Build) -> None:
        self.discarded.append(build)


def builds(count: int, key: str = "task") -> list[Build]:
    return [Build(key, {"kind": "tiled", "mr": number}, code=b"alive") for number in range(count)]


def test_the_fastest_rivals_are_kept_and_the_others_discarded() -> None:
    builder = Discarder()
    kept = KeptBuilds(builder)
    several = builds(RIVALS + 2)
    for seconds, build in zip((3.0, 1.0, 4.0, 2.0), several, strict=True):
        kept.offer(build, seconds)
    assert [build in kept for build in several] == [False, True, False, True]
    assert builder.discarded == [several[2], several[0]]


def test_a_new_holder_replaces_the_old_one_unless_it_is_a_rival() -> None:
    builder = Discarder()
    kept = KeptBuilds(builder)
    first, second, third = builds(3)
    kept.crown(first)
    kept.crown(second)
    assert builder.discarded == [first]
    kept.offer(second, 1.0)
    kept.crown(third)
    assert builder.discarded == [first] and second in kept


def test_what_is_taken_is_no_longer_kept() -> None:
    builder = Discarder()
    kept = KeptBuilds(builder)
    holder, rival, dead = builds(3)
    dead.code = b""
    kept.crown(holder)
    kept.offer(rival, 1.0)
    kept.offer(dead, 2.0)
    assert kept.take("another", holder.plan) is None
    assert kept.take("task", holder.plan) is holder and holder not in kept
    assert kept.take("task", rival.plan) is rival and rival not in kept
    assert kept.take("task", dead.plan) is None and builder.discarded == [dead]


def test_clearing_spares_one_task() -> None:
    builder = Discarder()
    kept = KeptBuilds(builder)
    (mine,), (other,) = builds(1), builds(1, "other")
    kept.crown(mine)
    kept.offer(other, 1.0)
    kept.clear(but="task")
    assert builder.discarded == [other] and mine in kept
    kept.clear()
    assert builder.discarded == [other, mine]
