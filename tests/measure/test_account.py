"""Where the time of measuring goes."""

from __future__ import annotations

import pytest

from tuner.cli.spending import spending_lines
from tuner.measure.account import TimeAccount

pytestmark = pytest.mark.pure


class Ticks:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_inner_part_interrupts_the_outer_one() -> None:
    clock = Ticks()
    account = TimeAccount(clock)
    clock.now = 5.0  # nothing is measured yet
    with account.part("build"):
        clock.now = 6.0
        with account.part("run"):
            clock.now = 9.0
        clock.now = 10.0
    clock.now = 20.0
    assert account.wall_seconds == {"open": 0.0, "build": 2.0, "run": 3.0, "wait": 0.0}


def test_an_error_inside_a_part_ends_it() -> None:
    clock = Ticks()
    account = TimeAccount(clock)
    with pytest.raises(RuntimeError), account.part("open"):
        clock.now = 1.0
        raise RuntimeError
    clock.now = 2.0
    assert account.wall_seconds["open"] == 1.0


def test_stages_of_trials_add_up() -> None:
    account = TimeAccount(Ticks())
    account.add_stages({"llvm": 0.5})
    account.add_stages({"llvm": 0.25, "link": 1.0})
    assert account.trials == 2
    assert account.stage_seconds["llvm"] == 0.75
    assert account.stage_seconds["link"] == 1.0


def test_lines_give_shares_and_the_mean_trial() -> None:
    parts = {"total": 10.0, "open": 1.0, "search": 2.0, "build": 4.0, "run": 2.0, "wait": 0.5}
    first, second = spending_lines(parts, {"llvm": 4.0, "timing": 0.5}, 20)
    assert first == (
        "Time: opening tasks 10%, searching 20%, building 40%, running 20%, "
        "watching the machine 5%, the rest 5%."
    )
    assert "optimise 200 ms" in second and "timing 25.0 ms" in second and "2.0 trials a second" in second


def test_a_run_without_trials_has_no_mean_trial() -> None:
    assert len(spending_lines({"total": 1.0}, {}, 0)) == 1
    assert "beside 3 of 20 trials" in spending_lines({"total": 1.0}, {}, 20, suspects=3)[-1]
    assert spending_lines({}, {}, 0) == []
