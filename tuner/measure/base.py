"""What a measurement says, and the contract of everything that measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from tuner.measure.account import TimeAccount

Plan = Mapping[str, Any]
"""A JSON-able description of how to schedule a workload (see ``search_space.candidate``)."""

STAGES = ("generate", "build", "timeout", "crash", "wrong_result", "run")
"""Where a trial can fail, in the order in which a trial passes them (timeout and crash: anywhere)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial has no usable time.

    Attributes:
        stage: One of :data:`STAGES`.
        message: One line for a person.
        is_censored: True when the candidate works as far as is known, but was stopped because it is
            far slower than the incumbent: the message says how long it was given.
    """

    stage: str
    message: str
    is_censored: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown stages."""
        if self.stage not in STAGES:
            raise ValueError(f"unknown failure stage {self.stage!r}: use one of {', '.join(STAGES)}")


@dataclass(frozen=True, slots=True)
class Timing:
    """The distribution of one kernel's run time.

    Attributes:
        runs_seconds: Seconds per call, one entry a repeat (each repeat may average many calls).
        minimum: Smallest entry.
        median: Median entry.
        low: Lower end of the 95% interval of the median.
        high: Upper end of the 95% interval of the median.
    """

    runs_seconds: tuple[float, ...]
    minimum: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of comparing outputs with those of the untuned program.

    Attributes:
        ok: Whether every check held.
        max_abs_error: Largest absolute error over all outputs and checks.
        max_rel_error: Largest error relative to the output's own scale.
        tolerance: What ``max_rel_error`` may reach, from the dtype and the reduction length.
        checks: Names of the checks that were made, such as ``random``, ``zeros``, ``guards``.
        message: What went wrong; empty when ``ok``.
    """

    ok: bool
    max_abs_error: float
    max_rel_error: float
    tolerance: float
    checks: tuple[str, ...]
    message: str = ""


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """One workload as the measurer needs it.

    Attributes:
        key: Structural hash of the workload.
        program: JSON text of the untuned PrimFunc.
        target: JSON text of the target.
        name: Readable name, for messages.
        threads: Threads that a kernel may use.
    """

    key: str
    program: str
    target: str
    name: str
    threads: int

    def __post_init__(self) -> None:
        """Refuse thread counts that cannot run."""
        if self.threads < 1:
            raise ValueError(f"task {self.name}: threads must be at least 1, got {self.threads}")


@dataclass(frozen=True, slots=True)
class Baseline:
    """The untuned program of a task.

    Attributes:
        key: The task.
        timing: Its run time; ``None`` if it failed or was stopped early.
        failure: Why there is no timing.
        seconds: Median seconds, or how long it ran before it was stopped.
        is_lower_bound: Whether ``seconds`` is only a lower bound of the run time.
        reference: Which program gave the reference outputs: ``untuned``, ``reordered``, or
            ``partial sums`` where the untuned program's own rounding errors are too large to judge by.
        checks: The input sets for which there are reference outputs.
        stages: Seconds by stage.
    """

    key: str
    timing: Timing | None
    failure: Failure | None
    seconds: float
    is_lower_bound: bool = False
    reference: str = "untuned"
    checks: tuple[str, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """What became of one trial.

    Attributes:
        plan: The plan that was asked for.
        timing: Its run time; ``None`` if it failed.
        failure: Why it has no timing; exactly one of ``timing`` and ``failure`` is set.
        verdict: The correctness check; ``None`` if outputs were never compared.
        trace: TVM trace of the schedule as JSON text, if it was built.
        base: The rewritten program that the trace starts from, if there is one.
        build_seconds: Wall time of generating, lowering and compiling.
        run_seconds: Wall time of running and checking on the quiet machine.
        stages: Seconds by stage: ``generate, lower, llvm, load, first_run, timing, check``.
        drift: How much slower the canary kernel ran than at its best in this session (1.0: as fast).
        is_suspect: Whether the canary was more than a tenth slower around this trial.
        cache: ``warm`` or ``flushed``: the state of the caches before each repeat.
        is_quick: Whether the race found it clearly slower than the incumbent; then its outputs were not
            compared.
        facts: What the compiler reported of a GPU kernel: ``registers``, ``spill_bytes`` and the like;
            ``drift`` where the trial is suspect, so that records are marked.
    """

    plan: Plan
    timing: Timing | None = None
    failure: Failure | None = None
    verdict: Verdict | None = None
    trace: str | None = None
    base: str | None = None
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    drift: float = 1.0
    is_suspect: bool = False
    cache: str = "warm"
    is_quick: bool = False
    facts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Insist on either a time or a failure."""
        if (self.timing is None) == (self.failure is None):
            raise ValueError("a result has either a timing or a failure")

    @property
    def seconds(self) -> float | None:
        """Median seconds with the drift of the machine taken out; ``None`` for a failure."""
        return None if self.timing is None else self.timing.median / self.drift


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two plans of one task, run alternately in one session, or one plan alone.

    Attributes:
        first: Timing of the first plan as the clock said, or ``None`` if it failed or there was none.
        second: The same of the second plan, or ``None`` if it failed.
        ratio: Median of second / first over the pairs of neighbouring runs; ``None`` without both.
        low: Lower end of the 95% interval of the ratio; ``None`` without both.
        high: Upper end of the 95% interval of the ratio; ``None`` without both.
        failure: Why there is no ratio. A ``wrong_result`` is the second plan's.
        verdict: What comparing the second plan's outputs on every input set gave; ``None`` where it lost
            and was not compared.
    """

    first: Timing | None
    second: Timing | None
    ratio: float | None
    low: float | None
    high: float | None
    failure: Failure | None = None
    verdict: Verdict | None = None

    @property
    def may_win(self) -> bool:
        """Whether the second plan is the faster one, or alone."""
        return self.failure is None and (self.ratio is None or self.ratio < 1.0)

    def checked(self, verdict: Verdict | Failure) -> Comparison:
        """Return the comparison with what checking the second plan gave."""
        if isinstance(verdict, Failure):
            return Comparison(None, None, None, None, None, verdict)
        if verdict.ok:
            return replace(self, verdict=verdict)
        return Comparison(None, None, None, None, None, Failure("wrong_result", verdict.message), verdict)

    @property
    def is_separated(self) -> bool:
        """Whether the interval of the ratio excludes 1."""
        return self.low is not None and self.high is not None and (self.low > 1.0 or self.high < 1.0)

    def is_decided(self, narrow: float) -> bool:
        """Report whether more runs would tell nothing new.

        Args:
            narrow: Width of the interval at which two plans are as good as equal.
        """
        if self.low is None or self.high is None:
            return True
        return self.is_separated or self.high - self.low < narrow


class Measurer(Protocol):
    """Builds, runs and checks candidates.

    A measurer belongs to one thread. A candidate's fault (a crash, a hang, a wrong result) is a result
    with a :class:`Failure` and never an exception. What is raised is what makes the whole run pointless:
    ``tuner.errors.JobFailed`` when a task cannot be prepared, when the machinery keeps dying, or when
    every trial of a batch fails for one cause.

    Attributes:
        account: Where the time went so far.
    """

    account: TimeAccount

    def open(self, task: MeasureTask) -> Baseline:
        """Prepare a task once: inputs, reference outputs, the untuned program's time.

        Opening an open task again returns its baseline without measuring.
        """
        ...

    def measure(
        self, key: str, plans: Sequence[Plan], incumbent_seconds: float | None = None
    ) -> list[MeasureResult]:
        """Measure candidates of an open task.

        Args:
            key: The task.
            plans: What to measure; plans may repeat.
            incumbent_seconds: The best time so far; candidates clearly slower are stopped early.

        Returns:
            One result per plan, in order.

        Raises:
            KeyError: If the task is not open.
        """
        ...

    def compare(self, key: str, first: Plan | None, second: Plan) -> Comparison:
        """Run two candidates of an open task alternately, and check the second one if it is faster.

        Args:
            key: The task.
            first: The holder of a title; ``None`` to run and check the second one alone.
            second: Who challenges it.

        Raises:
            KeyError: If the task is not open.
        """
        ...

    def close(self) -> None:
        """End every process that the measurer started; calling it twice is harmless."""
        ...

    def __enter__(self) -> Self:
        """Return the measurer."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close the measurer."""
        ...
