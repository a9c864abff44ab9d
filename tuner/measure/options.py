"""How a local measurement is done; one frozen value."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from tuner.measure.timing import RacePolicy

DEVICE_BUILD_TIMEOUT_SECONDS = 60.0
"""Longest build for a device: its compiler takes seconds for an unrolled kernel, and no run waits for it."""


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """Limits and habits of measurement.

    Attributes:
        entry: ``module:function`` that prepares a task; the module also has ``materialize``.
        rules: ``file.py:NAME`` of a user's own sketch rules, handed to ``entry`` if not empty.
        workers: Builds at once.
        window: Candidates that are built before the machine goes quiet to run them.
        memory_bytes: What one child may allocate.
        build_timeout_seconds: Longest generation and compilation of one candidate.
        run_timeout_seconds: Longest single run when nothing is known of the kernel's speed.
        least_timeout_seconds: A first run is always given this long.
        incumbent_timeouts: Otherwise a first run is given this many times the incumbent.
        long_timeouts: The same where the incumbent takes so long that what is cold hardly shows.
        baseline_seconds: The untuned program is stopped after this long; its time is then a lower bound.
        prepare_timeout_seconds: Longest preparation of a task, and longest start of the server.
        reference_timeout_seconds: Longest computation of the reference outputs of a task.
        reference_budget_seconds: No further input set is begun after this much of it.
        seed: Seed of the inputs.
        race: The rules of the race.
        canary_seconds: Time between two looks at the canary; 0 for none.
        patience_seconds: Longest wait for a machine that the canary finds slow; then it is used all the same.
        server_restarts: How often the fork server may die in one batch before the job fails.
        settle_seconds: Longest warm-up of a GPU until its clocks hold still; 0 for none.
        device_timeout_seconds: Longest wait until a GPU answers.
        same_cause_limit: A batch of at least this many trials that all fail for one cause, in a task in
            which none ever worked, ends the job.
    """

    entry: str = "search_space.candidate:prepare"
    rules: str = ""
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    window: int = 6
    memory_bytes: int = 4 << 30
    build_timeout_seconds: float = 15.0
    run_timeout_seconds: float = 10.0
    least_timeout_seconds: float = 0.25
    incumbent_timeouts: float = 4.0
    long_timeouts: float = 2.0
    baseline_seconds: float = 0.5
    prepare_timeout_seconds: float = 120.0
    reference_timeout_seconds: float = 120.0
    reference_budget_seconds: float = 1.5
    seed: int = 0
    race: RacePolicy = field(default_factory=RacePolicy)
    canary_seconds: float = 0.2
    patience_seconds: float = 5.0
    server_restarts: int = 3
    settle_seconds: float = 0.5
    device_timeout_seconds: float = 60.0
    same_cause_limit: int = 4

    def for_kind(self, kind: str) -> MeasureOptions:
        """Return the options for a kind of target."""
        if kind == "llvm":
            return self
        return replace(self, build_timeout_seconds=DEVICE_BUILD_TIMEOUT_SECONDS)

    def __post_init__(self) -> None:
        """Refuse values with which nothing can be measured."""
        if ":" not in self.entry:
            raise ValueError(f"entry {self.entry!r}: use module:function")
        for name in ("workers", "window", "memory_bytes", "same_cause_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
