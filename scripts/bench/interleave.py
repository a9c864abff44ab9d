"""Final kernels of all sides, re-measured in turns: each side in its own process, one running at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.contestant import Contestant, SideFailed
from scripts.bench.peak import Yardstick
from scripts.bench.problem import Problem
from scripts.bench.reference import reference
from tuner.measure.timing import summarise

PEAK = "peak"
"""Label of the machine's multiply-adds: the seconds that the operator's operations take at that rate."""
ROUNDS = 20
"""Least number of rounds: every side has one turn in each."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one side brings to a comparison.

    Attributes:
        label: What tables call it, such as ``tirtune`` or ``tirtune, seed 1``.
        side: Name of the side (see :mod:`scripts.bench.sides`).
        options: What the side needs to find its kernel.
    """

    label: str
    side: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one side reached.

    Attributes:
        seconds: Median seconds per call over all rounds; None without a right kernel.
        low: Lower end of the 95% interval of the median.
        high: Upper end of the 95% interval of the median.
        turns_seconds: One entry a round.
        variant: The layout or path that was fastest for this side.
        error: Largest error over the largest element of the reference.
        reason: Why there is no time, or what was wrong with other variants.
    """

    seconds: float | None
    low: float | None = None
    high: float | None = None
    turns_seconds: tuple[float, ...] = ()
    variant: str = ""
    error: float | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def interleave(
    problem: Problem,
    entries: Sequence[Entry],
    threads: int,
    rounds: int = ROUNDS,
    turn_seconds: float = 0.03,
    warm_seconds: float = 0.02,
    yardstick: Yardstick | None = None,
) -> dict[str, Outcome]:
    """Time one operator on several sides, round robin.

    Args:
        problem: The operator.
        entries: The sides.
        threads: Threads of every side.
        rounds: Turns of each side.
        turn_seconds: Least timed seconds of a turn.
        warm_seconds: Least seconds of warm-up at the start of a turn.
        yardstick: The machine's multiply-adds; they take turns too, under the label :data:`PEAK`.

    Returns:
        Label to outcome; a side that lacks the operator, computes something else or dies has a reason.
    """
    outcomes: dict[str, Outcome] = {}
    running: dict[str, Contestant] = {}
    loaded: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        expected = Path(scratch) / "reference.npy"
        np.save(expected, reference(problem, problem.arrays()))
        try:
            for entry in entries:
                contestant = Contestant(entry.side, threads, entry.label)
                running[entry.label] = contestant
                try:
                    reply = contestant.ask(_load(problem, entry, str(expected), threads))
                except SideFailed as error:
                    reply = {"broken": str(error)}
                if "variant" in reply:
                    loaded[entry.label] = reply
                else:
                    outcomes[entry.label] = Outcome(None, reason=reason_of(reply))
                    running.pop(entry.label).close()
            message = {"do": "turn", "seconds": turn_seconds, "warm_seconds": warm_seconds}
            measured = {PEAK: yardstick.contestant} if yardstick is not None else {}
            turns, died = take_turns(running | measured, message, rounds)
            outcomes.update(died)
        finally:
            for contestant in running.values():
                contestant.close()
    if yardstick is not None and PEAK in turns:
        calls = problem.flops / yardstick.flops_per_call
        peak = summarise([calls * seconds for seconds in turns.pop(PEAK)])
        outcomes[PEAK] = Outcome(peak.median, peak.low, peak.high, peak.runs_seconds)
    outcomes.update({label: outcome_of(loaded[label], seconds) for label, seconds in turns.items()})
    return {
        label: outcomes[label] for label in (*(entry.label for entry in entries), PEAK) if label in outcomes
    }


def take_turns(
    running: dict[str, Contestant], message: Mapping[str, Any], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Outcome]]:
    """Give every side its turn in every round, each after each other one equally often.

    Args:
        running: Sides by label; those that die are closed and removed.
        message: What asks for a turn.
        rounds: Turns of each side.

    Returns:
        Seconds of every turn of those that lived, and the outcomes of those that died.
    """
    turns: dict[str, list[float]] = {label: [] for label in running}
    died: dict[str, Outcome] = {}
    for turn in range(rounds):
        order = list(turns)
        first = turn % max(1, len(order))
        for label in order[first:] + order[:first]:
            try:
                turns[label].append(running[label].ask(message)["seconds"])
            except (SideFailed, KeyError) as error:
                died[label] = Outcome(None, reason=f"died while it was timed: {error}")
                turns.pop(label)
                running.pop(label).close()
    return turns, died


def outcome_of(reply: Mapping[str, Any], seconds: Sequence[float]) -> Outcome:
    """Join what a side said when it was loaded with the times of its turns."""
    timing = summarise(seconds)
    return Outcome(
        timing.median,
        timing.low,
        timing.high,
        tuple(seconds),
        reply["variant"],
        reply["error"],
        "; ".join(reply["problems"]),
    )


def call_overheads(sides: Sequence[str], threads: int) -> dict[str, float | None]:
    """Return the seconds that a call of next to nothing takes on each side; None where it is missing."""
    found: dict[str, float | None] = {}
    for side in sides:
        with Contestant(side, threads) as contestant:
            try:
                found[side] = contestant.ask({"do": "overhead"}).get("seconds")
            except SideFailed:
                found[side] = None
    return found


def _load(problem: Problem, entry: Entry, expected: str, threads: int) -> dict[str, Any]:
    return {
        "do": "load",
        "problem": problem.to_dict(),
        "reference": expected,
        "options": {"threads": threads, **entry.options},
    }


def reason_of(reply: Mapping[str, Any]) -> str:
    """Say why a side has nothing to run."""
    for kind in ("absent", "wrong", "broken"):
        if kind in reply:
            return f"{kind}: {reply[kind]}"
    return f"unknown answer {reply}"
