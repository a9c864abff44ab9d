"""The two halves of a measurement: something that builds and something that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tuner.measure.base import Failure, Plan, Timing, Verdict


@dataclass(eq=False, slots=True)
class Build:
    """One candidate on its way through a builder and a runner.

    Attributes:
        key: The task.
        plan: The plan.
        handle: What the builder gives the runner; opaque to everybody else.
        failure: Why there is nothing to run; ``None`` while building and when built.
        trace: TVM trace of the schedule as JSON text.
        base: The program that the trace starts from, if it was rewritten first.
        seconds: Wall time of the build.
        stages: Seconds by stage.
        code: What a device runs; empty on a CPU, where the child holds the kernel.
        facts: What the compiler reported, by name.
        run_seconds: About how long one warm call takes, once it ran.
    """

    key: str
    plan: Plan
    handle: Any = None
    failure: Failure | None = None
    trace: str | None = None
    base: str | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    code: bytes = b""
    facts: dict[str, float] = field(default_factory=dict)
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What running one build gave.

    Attributes:
        timing: Its run time; ``None`` if it failed.
        failure: Why not.
        verdict: The correctness check, if it came that far.
        seconds: Wall time of running and checking.
        stages: Seconds by stage.
        is_quick: Whether it was stopped early because it is clearly slower than the incumbent.
    """

    timing: Timing | None
    failure: Failure | None
    verdict: Verdict | None = None
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    is_quick: bool = False


class Builder(Protocol):
    """Turns plans into something that can run, several at once.

    What a candidate does wrong becomes ``Build.failure``; nothing is raised for it. Every build that was
    submitted is returned by :meth:`finished` exactly once and stays alive until :meth:`discard`.
    """

    def submit(self, key: str, plan: Plan) -> Build:
        """Start to build a plan of an open task in the background and return at once."""
        ...

    def finished(self, timeout_seconds: float) -> list[Build]:
        """Wait until at least one build is finished, at most this long, and return those that are."""
        ...

    def quiet(self) -> AbstractContextManager[None]:
        """Return a context in which no background work uses the machine."""
        ...

    def discard(self, build: Build) -> None:
        """Free everything that a build holds; twice is harmless."""
        ...


class Runner(Protocol):
    """Runs builds one at a time.

    What a candidate does wrong becomes ``Run.failure``; nothing is raised for it.
    """

    def run(self, build: Build, incumbent_seconds: float | None) -> Run:
        """Race a build against the incumbent and check its outputs.

        Args:
            build: A build without failure, fresh from the builder.
            incumbent_seconds: The best time so far, or ``None``. Without one a candidate is checked on every
                input set; with one on the outputs that it has written anyway, and not at all where it is
                clearly slower, because it cannot become the next one.
        """
        ...

    def alternate(self, builds: Sequence[Build], rounds: int) -> list[list[float]] | Failure:
        """Run builds alternately: one repeat of each per round; one build alone is just run.

        Returns:
            Seconds per call, one list per build, all equally long; or why there are none.
        """
        ...

    def check(self, build: Build) -> Verdict | Failure:
        """Compare the outputs of a build with the untuned program's on every input set.

        Returns:
            The verdict, or why there is none.
        """
        ...
