"""Exploring without running: what a search would try on a target, built and reported."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from search_space.candidate import DEFAULT_PLAN, context_of
from search_space.hardware import hardware_of, target_text
from tuner.errors import JobFailed, UserError
from tuner.measure.base import MeasureTask, Plan
from tuner.measure.building import CandidateBuilder
from tuner.measure.options import MeasureOptions
from tuner.measure.protocols import Build
from tuner.models import RunModel
from tuner.options import TRIALS_PER_TASK, TuneOptions
from tuner.search import EvolutionarySearch, RandomSearch, Scorer, SearchStrategy
from tuner.tasks import Task

_REASONS = 3
"""Most frequent reasons of failure that are kept of a task."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a number is spread over the candidates that were built."""

    smallest: float
    median: float
    largest: float


@dataclass(frozen=True, slots=True)
class BuiltTask:
    """What building the candidates of one task gave.

    Attributes:
        name: Readable name.
        candidates: Candidates that were tried, the untuned program among them.
        built: Those that a device could load.
        failed: Those that failed, by stage.
        reasons: Why, the most frequent first.
        facts: What the compiler reported, by name (see docs/records.md).
        spilling: Candidates that keep something in local memory for want of registers.
        untuned_built: Whether the untuned program was built.
        seconds: Wall time, preparation included.
        build_seconds: Processor seconds by stage, summed over the candidates.
    """

    name: str
    candidates: int
    built: int
    failed: dict[str, int]
    reasons: tuple[str, ...]
    facts: dict[str, Spread]
    spilling: int
    untuned_built: bool
    seconds: float
    build_seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["workload"] = values.pop("name")
        return values


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build-only run gave.

    Attributes:
        tasks: One entry a task, in order.
        target: Canonical JSON of the target.
        seconds: Wall time.
    """

    tasks: tuple[BuiltTask, ...]
    target: str
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether some candidate of every task was built."""
        return all(task.built for task in self.tasks)


Listener = Callable[[BuiltTask], None]


def build_only(
    tasks: Sequence[Task],
    target: Any,
    options: TuneOptions,
    listener: Listener = lambda task: None,
    clock: Callable[[], float] = time.monotonic,
) -> BuildReport:
    """Build the candidates that a search would measure first.

    Args:
        tasks: What would be tuned.
        target: The resolved TVM target; its device need not be here.
        options: ``trials`` candidates over all tasks (64 a task when absent), ``seconds``, ``seed`` and
            ``strategy``.
        listener: Told about every task that is done.
        clock: Monotonic seconds.

    Returns:
        Counts, failures and the compiler's numbers per task.

    Raises:
        UserError: If there is nothing to build, or a log was asked for.
        JobFailed: If nothing can be built here, such as without a compiler.
    """
    if not tasks:
        raise UserError("there is nothing to build: the workload has no tasks")
    if options.log is not None:
        raise UserError(
            f"--log {options.log}: with --build-only nothing is measured and nothing kept: leave it out"
        )
    if target.kind.name == "cuda":
        from tuner.measure.cuda.toolkit import find_toolkit

        find_toolkit()
    hardware = hardware_of(target)
    model = RunModel(hardware, options.seed)
    began = clock()
    text = target_text(target)
    budget = options.trials if options.trials is not None else TRIALS_PER_TASK * len(tasks)
    done: list[BuiltTask] = []

    def is_over() -> bool:
        return options.seconds is not None and clock() - began >= options.seconds

    with CandidateBuilder(MeasureOptions().for_kind(str(target.kind.name))) as builder:
        for index, task in enumerate(tasks):
            if is_over():
                break
            left = len(tasks) - index
            share = max(1, (budget - sum(t.candidates for t in done)) // left)
            task_began = clock()
            proposed = _proposals(task, target, options, model, index, share - 1)
            measured = MeasureTask(
                task.key, task.workload.program(), text, task.workload.name, hardware.cores
            )
            builds = builder.build(measured, [DEFAULT_PLAN, *proposed], is_over)
            done.append(_summary(task.name, builds, clock() - task_began))
            listener(done[-1])
    if not done:
        raise JobFailed(f"nothing was built within {options.seconds:g} s: raise --time")
    return BuildReport(tuple(done), text, clock() - began)


def _proposals(
    task: Task, target: Any, options: TuneOptions, model: RunModel, index: int, count: int
) -> list[Plan]:
    context = context_of(task.workload, target)
    rng = np.random.default_rng([options.seed, index])
    strategy: SearchStrategy
    if options.strategy == "random":
        strategy = RandomSearch(context.sketches, rng)
    else:
        strategy = EvolutionarySearch(context.sketches, Scorer(context.hardware, model, index), rng)
    return [proposal.plan for proposal in strategy.propose(count)] if count else []


def _summary(name: str, builds: Sequence[Build], seconds: float) -> BuiltTask:
    good = [build for build in builds if build.failure is None]
    failures = [build.failure for build in builds if build.failure is not None]
    stages: Counter[str] = Counter()
    for build in builds:
        stages.update(build.stages)
    names = dict.fromkeys(fact for build in good for fact in build.facts)
    numbers = {fact: [build.facts[fact] for build in good if fact in build.facts] for fact in names}
    return BuiltTask(
        name=name,
        candidates=len(builds),
        built=len(good),
        failed=dict(Counter(failure.stage for failure in failures)),
        reasons=tuple(text for text, _ in Counter(f.message for f in failures).most_common(_REASONS)),
        facts={fact: Spread(min(v), median(v), max(v)) for fact, v in numbers.items()},
        spilling=sum(spilled > 0 for spilled in numbers.get("spill_bytes", ())),
        untuned_built=any(build.plan == DEFAULT_PLAN for build in good),
        seconds=seconds,
        build_seconds=dict(stages),
    )
