"""The race and its statistics, with plain numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.measure.timing import NO_RACE, Block, Race, RacePolicy, comparison_of, summarise

pytestmark = pytest.mark.pure

POLICY = RacePolicy()


def run(race: Race, first: float, seconds: float, spread: float = 0.0) -> int:
    """Feed a race a kernel that takes ``seconds``; return the repeats that it asked for."""
    block = race.first(first)
    repeats = 0
    while block is not None:
        repeats += block.repeats
        assert repeats < 100
        values = [seconds * (1 + spread * ((repeats + i) % 3 - 1)) for i in range(block.repeats)]
        block = race.add(values)
    return repeats


def test_a_hopeless_first_run_is_the_only_one() -> None:
    race = Race(POLICY, 0.010)
    assert run(race, 0.050, 0.050) == 0
    assert race.is_quick
    assert race.timing.runs_seconds == (0.050,)


def test_a_cold_first_run_of_a_fast_kernel_is_forgiven() -> None:
    race = Race(POLICY, 1e-4)
    assert run(race, 0.0015, 0.9e-4) >= POLICY.least_repeats
    assert not race.is_quick


def test_a_clearly_slower_candidate_stops_after_a_quick_look() -> None:
    race = Race(POLICY, 0.004)
    assert run(race, 0.0085, 0.007) == POLICY.quick_repeats
    assert race.is_quick


def test_a_kernel_of_many_milliseconds_need_not_be_far_slower_to_stop() -> None:
    slower = Race(POLICY, 0.025)
    assert run(slower, 0.032, 0.030) == 1
    assert slower.is_quick
    a_little = Race(POLICY, 0.025)
    assert run(a_little, 0.029, 0.0268) == 2
    assert a_little.is_quick
    close = Race(POLICY, 0.025)
    assert run(close, 0.027, 0.0258) == POLICY.medium_repeats
    assert not close.is_quick
    short = Race(POLICY, 0.0025)
    assert run(short, 0.0032, 0.0030) > POLICY.quick_repeats


def test_a_first_run_that_no_warm_up_explains_is_the_only_one_of_many_milliseconds() -> None:
    race = Race(POLICY, 0.025)
    assert run(race, 0.0345, 0.034) == 0
    assert race.is_quick
    cold = Race(POLICY, 0.025)
    assert run(cold, 0.0335, 0.0255) == POLICY.medium_repeats
    assert not cold.is_quick
    # The incumbent is short: what was slow about a first run may have been the threads.
    assert run(Race(POLICY, 0.005), 0.030, 0.0049) >= POLICY.least_repeats


def test_a_long_first_run_is_judged_like_a_warm_one() -> None:
    race = Race(POLICY, 0.100)
    assert run(race, 0.160, 0.160) == 0
    assert race.is_quick
    contender = Race(POLICY, 0.300)
    assert 1 <= run(contender, 0.310, 0.305) <= 3


def test_long_kernels_get_one_run_or_two() -> None:
    slower = Race(POLICY, 0.060)
    assert run(slower, 0.075, 0.075) == 0
    assert slower.is_quick
    close = Race(POLICY, 0.060)
    assert run(close, 0.064, 0.0625) == 1
    assert close.is_quick
    contender = Race(POLICY, 0.060)
    assert run(contender, 0.064, 0.0601) == 1
    assert not contender.is_quick


def test_who_is_clearly_slower_by_its_interval_is_no_contender() -> None:
    race = Race(POLICY, 0.0050)
    assert run(race, 0.0090, 0.0065, spread=0.01) == POLICY.least_repeats
    assert race.is_quick
    close = Race(POLICY, 0.0050)
    assert run(close, 0.0090, 0.00525, spread=0.01) >= POLICY.least_repeats
    assert not close.is_quick


def test_a_short_kernel_that_had_to_wait_for_a_cpu_at_first_is_timed_all_the_same() -> None:
    race = Race(POLICY, 20e-6)
    assert race.first(0.005) == Block(1, 1)
    again = race.add([20e-6])
    assert again == Block(50, POLICY.quick_repeats)
    assert race.add([20e-6] * 2) is not None
    assert not race.is_quick


@pytest.mark.parametrize("stalls", [[0.005, 0.004], [0.020, 0.006], [0.030, 0.008]])
def test_stalls_in_single_calls_are_not_taken_for_the_kernel(stalls: list[float]) -> None:
    race = Race(POLICY, 20e-6)
    block = race.first(stalls[0])
    assert block is not None
    calls = 1
    while block is not None:
        # Only the second call stalls as well; all others take what the kernel takes.
        extra = stalls[1] if calls == 1 else 0.0
        calls += block.number * block.repeats
        assert calls < 10_000
        block = race.add([20e-6 + extra / block.number] + [20e-6] * (block.repeats - 1))
    assert not race.is_quick
    assert race.timing.median == pytest.approx(20e-6)


def test_repeats_that_disagree_do_not_end_a_short_kernel() -> None:
    race = Race(POLICY, 20e-6)
    assert race.first(25e-6) == Block(40, 1)
    # All repeats hold a stall of 1 to 4 ms at first.
    assert race.add([20e-6 + 1e-3 / 40]) == Block(40, 1)
    assert race.add([20e-6 + 4e-3 / 40]) == Block(40, POLICY.block_repeats)
    assert race.add([20e-6] * 3) is not None
    assert race.timing.minimum == 20e-6
    slow = Race(POLICY, 20e-6)
    assert run(slow, 50e-6, 50e-6, spread=0.02) <= 2
    assert slow.is_quick


@pytest.mark.parametrize("seconds", [1e-5, 1e-3, 0.1])
def test_without_a_race_nobody_stops_early(seconds: float) -> None:
    race = Race(NO_RACE, seconds / 20)
    assert run(race, seconds, seconds) >= 1
    assert not race.is_quick


def test_a_duel_is_described_by_the_ratio_of_neighbours() -> None:
    alone = comparison_of([[1.0, 1.1, 1.2]])
    assert alone.first is None and alone.second is not None and alone.second.median == 1.1
    assert alone.is_decided(0.01) and alone.may_win
    # Both drift alike: the ratio does not.
    duel = comparison_of([[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], [0.9, 1.8, 2.7, 0.9, 1.8, 2.7]])
    assert duel.ratio == pytest.approx(0.9)
    assert duel.is_decided(0.01) and duel.may_win
    equal = comparison_of([[1.0] * 6, [0.999, 1.001] * 3])
    assert not equal.is_separated
    assert equal.is_decided(0.01) and not equal.is_decided(0.001)


def test_a_contender_runs_until_its_interval_separates() -> None:
    faster = Race(POLICY, 0.005)
    assert run(faster, 0.009, 0.004, spread=0.01) == POLICY.least_repeats
    assert faster.timing.high < 0.005
    equal = Race(RacePolicy(budget_seconds=10.0), 0.005)
    assert run(equal, 0.009, 0.005, spread=0.02) == POLICY.most_repeats
    same = Race(RacePolicy(budget_seconds=10.0), 0.005)
    assert 8 <= run(same, 0.009, 0.005, spread=0.001) < POLICY.most_repeats


def test_the_budget_ends_an_undecided_race() -> None:
    race = Race(RacePolicy(budget_seconds=0.1), 0.010)
    assert run(race, 0.010, 0.010, spread=0.01) < 15


def test_a_second_long_kernel_without_incumbent_is_run_once() -> None:
    race = Race(POLICY, None)
    assert run(race, 1.5, 1.5) == 0
    assert race.timing.median == 1.5
    assert race.timing.low < 1.5 < race.timing.high


def test_short_kernels_are_called_often_enough_for_one_repeat() -> None:
    race = Race(POLICY, None)
    first = race.first(100e-6)
    assert first == Block(10, 1)
    again = race.add([2e-6])  # warm, it takes 2 microseconds: the cold first run misled
    assert again is not None
    assert again.number * 2e-6 == pytest.approx(POLICY.repeat_seconds, rel=0.01)
    assert race.add([2e-6, 2e-6]) is not None
    assert len(race.timing.runs_seconds) == 2


def test_flushed_caches_mean_one_call_a_repeat() -> None:
    race = Race(RacePolicy(cache="flushed"), None)
    assert race.first(2e-6) == Block(1, POLICY.quick_repeats)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cache": "cold"}, "cache policy 'cold'"),
        ({"slow_ratio": 0.9}, "slow_ratio"),
        ({"least_repeats": 0}, "at least 1"),
    ],
)
def test_impossible_policies_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RacePolicy(**values)  # type: ignore[arg-type]


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=40))
def test_a_summary_is_ordered(runs: list[float]) -> None:
    timing = summarise(runs)
    assert timing.runs_seconds == tuple(runs)
    assert timing.minimum == min(runs)
    assert timing.low <= timing.median <= timing.high
    if len(runs) > 1:
        assert min(runs) <= timing.low
        assert timing.high <= max(runs)


@pytest.mark.parametrize(("count", "rank"), [(5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (17, 4), (20, 5)])
def test_the_interval_uses_the_tabulated_order_statistics(count: int, rank: int) -> None:
    timing = summarise([float(i) for i in range(count)])
    assert (timing.low, timing.high) == (rank, count - 1 - rank)


def test_nothing_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="no repeat"):
        summarise([])
