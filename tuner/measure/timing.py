"""How long to run a kernel: the race against the incumbent, and what its repeats say.

Nothing here touches a process or a clock, so that every decision can be tested with plain numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, inf
from statistics import median

from tuner.measure.base import Comparison, Timing

_SINGLE_RUN_SPREAD = 0.25
"""Half-width of the interval, relative, that a single run is given: it ran with cold caches."""

_NARROW_ALONE = 0.03
"""Relative width of the interval that is good enough when there is no incumbent."""

_NARROW_BESIDE = 0.01
"""Relative width at which a candidate is as good as equal to the incumbent: more runs decide nothing."""

_DISAGREEMENT = 1.25
"""Two repeats of a short kernel that differ by more than this are not believed before a few more have run."""

_LONG_WARM_UPS = 5
"""A first run this many times longer than the warm-up is judged like a warm one."""


@dataclass(frozen=True, slots=True)
class RacePolicy:
    """When a candidate stops running.

    Attributes:
        slow_ratio: A quick look slower than this times the incumbent ends the trial.
        long_first_ratio: A first run that is long and slower than this times the incumbent ends it at once:
            what is cold about it hardly shows.
        medium_ratio: The quick look's limit for kernels that take longer than a warm-up: what comes and goes
            within milliseconds shows less in them. Beside such an incumbent a first run ends the trial that
            exceeds this even if it was a whole warm-up too long.
        long_ratio: The same for the best of two or more long runs, which little disturbs.
        contender_ratio: A candidate whose interval begins above this times the incumbent is clearly slower,
            and so is one whose only repeat does, where the incumbent takes longer than a warm-up.
        warm_up_seconds: What a first run may take longer than later ones (threads start, caches fill).
        repeat_seconds: Shortest repeat: small kernels are called several times in a repeat.
        quick_repeats: Repeats of the quick look.
        block_repeats: Repeats between two looks at the interval.
        least_repeats: Fewest repeats of a candidate that is not clearly slower.
        most_repeats: Most repeats of any candidate.
        medium_repeats: Most repeats of one that takes longer than a warm-up: a duel measures it again
            before it takes the title.
        budget_seconds: Time after which a candidate with enough repeats stops, separated or not.
        cache: ``warm``, or ``flushed`` to empty the caches before every call.
    """

    slow_ratio: float = 1.5
    long_first_ratio: float = 1.15
    medium_ratio: float = 1.05
    long_ratio: float = 1.03
    contender_ratio: float = 1.1
    warm_up_seconds: float = 0.008
    repeat_seconds: float = 0.001
    quick_repeats: int = 2
    block_repeats: int = 3
    least_repeats: int = 5
    most_repeats: int = 23
    medium_repeats: int = 2
    budget_seconds: float = 0.12
    cache: str = "warm"

    def __post_init__(self) -> None:
        """Refuse policies that cannot end or cannot start."""
        if self.cache not in ("warm", "flushed"):
            raise ValueError(f"cache policy {self.cache!r}: use warm or flushed")
        for name in ("slow_ratio", "long_first_ratio", "medium_ratio", "long_ratio", "contender_ratio"):
            if not getattr(self, name) > 1:
                raise ValueError(f"race policy: {name} must be above 1, got {getattr(self, name)}")
        counts = (
            self.quick_repeats,
            self.block_repeats,
            self.least_repeats,
            self.most_repeats,
            self.medium_repeats,
        )
        if min(counts) < 1:
            raise ValueError("race policy: every count of repeats must be at least 1")

    def is_medium(self, seconds: float) -> bool:
        """Report whether a run takes longer than a warm-up."""
        return seconds > self.warm_up_seconds

    def is_long(self, seconds: float) -> bool:
        """Report whether a run takes so long that what is cold about a first one hardly shows."""
        return seconds > _LONG_WARM_UPS * self.warm_up_seconds


NO_RACE = RacePolicy(
    slow_ratio=inf,
    long_first_ratio=inf,
    medium_ratio=inf,
    long_ratio=inf,
    contender_ratio=inf,
    least_repeats=11,
    most_repeats=11,
    medium_repeats=11,
)
"""No candidate stops early because it is slow: each gets 11 repeats (fewer only where they take long)."""


@dataclass(frozen=True, slots=True)
class Block:
    """What to run next: ``repeats`` repeats of ``number`` calls each."""

    number: int
    repeats: int


class Race:
    """The decisions about one candidate: feed it what ran, ask it what to run next.

    Args:
        policy: The rules.
        incumbent_seconds: The time to beat, or ``None``.
    """

    def __init__(self, policy: RacePolicy, incumbent_seconds: float | None) -> None:
        self.policy = policy
        self.incumbent_seconds = incumbent_seconds
        self.is_quick = False
        self._first_seconds = 0.0
        self._runs: list[float] = []
        self._spent_seconds = 0.0
        self._number = 1
        self._is_calibrated = False
        self._calibrations_left = 3

    @property
    def timing(self) -> Timing:
        """What is known so far."""
        return summarise(self._runs or [self._first_seconds])

    def first(self, seconds: float) -> Block | None:
        """Note the first run and return what to run next, ``None`` to stop."""
        self._first_seconds = seconds
        policy, incumbent = self.policy, self.incumbent_seconds
        is_long = policy.is_long(seconds)
        if is_long and incumbent is not None and seconds > policy.long_first_ratio * incumbent:
            self.is_quick = True
            return None
        beside = incumbent if incumbent is not None and policy.is_medium(incumbent) else None
        if beside is not None and seconds - policy.warm_up_seconds > policy.medium_ratio * beside:
            self.is_quick = True
            return None
        if seconds > 8 * policy.budget_seconds and incumbent is None:
            return None
        if is_long:
            self._runs.append(seconds)
            self._spent_seconds += seconds
            self._is_calibrated = True
            return Block(1, 1)
        self._number = (
            1 if policy.cache == "flushed" else max(1, ceil(policy.repeat_seconds / max(seconds, 1e-7)))
        )
        self._is_calibrated = policy.cache == "flushed" or policy.is_medium(seconds)
        return Block(self._number, policy.quick_repeats if self._is_calibrated and beside is None else 1)

    def add(self, seconds: Sequence[float]) -> Block | None:
        """Note a block of repeats and return what to run next, ``None`` to stop.

        Args:
            seconds: Seconds per call, one entry a repeat.
        """
        policy = self.policy
        self._spent_seconds += sum(seconds) * self._number
        if self._calibrations_left and policy.cache != "flushed":
            # What ran so far was cold, or its threads had to wait for a CPU: choose how many calls again.
            wanted = max(1, ceil(policy.repeat_seconds / max(min(seconds), 1e-8)))
            is_first, self._is_calibrated = not self._is_calibrated, True
            if wanted > 1.5 * self._number or (is_first and self._number == 1):
                self._calibrations_left -= 1
                self._number = wanted
                self._runs.clear()
                return Block(wanted, policy.quick_repeats)
        self._runs.extend(seconds)
        if self._is_clearly_slow():
            self.is_quick = True
            return None
        block = self._next()
        if block is None and self.incumbent_seconds is not None:
            self.is_quick = self.timing.low > policy.contender_ratio * self.incumbent_seconds
        return block

    def _next(self) -> Block | None:
        policy = self.policy
        count = len(self._runs)
        if count < policy.quick_repeats and not policy.is_long(min(self._runs)):
            return Block(self._number, policy.quick_repeats - count)
        if count >= self._most_repeats() or (
            self._spent_seconds >= policy.budget_seconds and count >= self._least_repeats()
        ):
            return None
        if count >= self._least_repeats() and self._is_separated():
            return None
        left = self._most_repeats() - count
        affordable = max(1, int(policy.budget_seconds / max(min(self._runs) * self._number, 1e-9)))
        return Block(self._number, max(1, min(policy.block_repeats, left, affordable)))

    def _least_repeats(self) -> int:
        # A kernel of a tenth of a second is not run five times: what disturbs a run is short beside it.
        typical = min(self._runs)
        affordable = int(self.policy.budget_seconds / max(typical, 1e-9))
        return max(2, min(self.policy.least_repeats, self._most_repeats(), affordable))

    def _most_repeats(self) -> int:
        policy = self.policy
        return policy.medium_repeats if policy.is_medium(min(self._runs)) else policy.most_repeats

    def _is_clearly_slow(self) -> bool:
        policy, incumbent, best = self.policy, self.incumbent_seconds, min(self._runs)
        if incumbent is None:
            return False
        if policy.is_long(best):
            return best > policy.long_ratio * incumbent
        # One short repeat, or several that disagree, may hold a stall of milliseconds: more tell.
        count = len(self._runs)
        is_medium = policy.is_medium(best)
        if count < policy.quick_repeats:
            return policy.is_medium(incumbent) and best > policy.contender_ratio * incumbent
        disagree = max(self._runs) > _DISAGREEMENT * best and count < policy.least_repeats
        ratio = policy.medium_ratio if is_medium else policy.slow_ratio
        return best > ratio * incumbent and not disagree

    def _is_separated(self) -> bool:
        timing, incumbent = self.timing, self.incumbent_seconds
        if incumbent is None:
            return (timing.high - timing.low) < _NARROW_ALONE * timing.median
        is_equal = len(self._runs) >= 8 and (timing.high - timing.low) < _NARROW_BESIDE * timing.median
        return is_equal or timing.low > incumbent or timing.high < incumbent


def summarise(runs_seconds: Sequence[float]) -> Timing:
    """Describe repeats by minimum, median and the 95% interval of the median.

    The interval is the distribution-free one from order statistics (Conover 1999, section 3.2): with n
    repeats the r-th smallest and the r-th largest, r the largest with a coverage of 95%; below six
    repeats the smallest and the largest, whose coverage is ``1 - 2**(1 - n)``. A single run is given a
    quarter to either side.

    Args:
        runs_seconds: At least one value.

    Raises:
        ValueError: If there is none.
    """
    values = sorted(runs_seconds)
    if not values:
        raise ValueError("no repeat to summarise")
    centre = float(median(values))
    if len(values) == 1:
        low, high = centre * (1 - _SINGLE_RUN_SPREAD), centre * (1 + _SINGLE_RUN_SPREAD)
    else:
        rank = _interval_rank(len(values))
        low, high = values[rank], values[-1 - rank]
    return Timing(tuple(runs_seconds), values[0], centre, low, high)


def _interval_rank(count: int) -> int:
    rank, below = 0, 1.0
    while rank + 1 < count // 2:
        below += comb(count, rank + 1)
        if 2.0 * below / 2.0**count > 0.05:
            break
        rank += 1
    return rank


def comparison_of(collected: Sequence[Sequence[float]]) -> Comparison:
    """Describe a duel, or a run of one plan alone.

    Args:
        collected: Seconds per call, one list a plan; pairs at the same place ran one after the other.
    """
    timings = [summarise(part) for part in collected]
    if len(timings) == 1:
        return Comparison(None, timings[0], None, None, None)
    first, second = timings
    ratio = summarise([b / a for a, b in zip(*collected, strict=True)])
    return Comparison(first, second, ratio.median, ratio.low, ratio.high)
