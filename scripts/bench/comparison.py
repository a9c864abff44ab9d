"""One operator on all sides: tune ours, take or make the baseline, re-measure everything in turns."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from scripts.bench import metaschedule, ours
from scripts.bench.interleave import Entry, Outcome, interleave
from scripts.bench.peak import Yardstick
from scripts.bench.problem import Problem
from scripts.bench.table import PEERS, first_reached, ratio

REACH_LABEL = "metaschedule, reach"
"""Label of the baseline's kernel that ours has to reach, where it had more trials."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared and how.

    Attributes:
        trials: Trials of both tuners.
        seeds: Seeds of ours.
        against: Names of the other sides.
        databases: MetaSchedule's databases, kept.
        logs: Our logs.
        threads: Threads of every side.
        cpu: This machine's CPU.
        reach: The baseline's trials whose best ours has to reach.
        rounds: Turns of each side in the final measurement.
        reuse: Take our finished runs instead of tuning again.
        options: Further fields of ``tuner.TuneOptions``.
    """

    trials: int
    seeds: tuple[int, ...]
    against: tuple[str, ...]
    databases: Path
    logs: Path
    threads: int
    cpu: str
    reach: int
    rounds: int
    reuse: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Tuning:
    """What both tuners left of one operator.

    Attributes:
        runs: Our runs, one a seed.
        equal: The baseline with as many trials as ours; None where it is not asked for or failed.
        longer: The baseline whose best ours has to reach.
        problems: Why something is missing.
    """

    runs: list[ours.Run] = field(default_factory=list)
    equal: metaschedule.Tuned | None = None
    longer: metaschedule.Tuned | None = None
    problems: list[str] = field(default_factory=list)


def tune(problem: Problem, plan: Plan) -> Tuning:
    """Tune one operator on both sides, one after the other on a machine that does nothing else."""
    found = Tuning()
    for seed in plan.seeds:
        say(f"{problem.text}: tuning ours, {plan.trials} trials, seed {seed}")
        try:
            found.runs.append(
                ours.run(problem, plan.trials, seed, plan.threads, plan.logs, plan.options, plan.reuse)
            )
        except ours.RunFailed as error:
            found.problems.append(str(error))
            say(str(error))
    if "metaschedule" in plan.against:
        most = max(plan.trials, plan.reach)
        say(f"{problem.text}: MetaSchedule, {most} trials (or its database)")
        try:
            found.longer = metaschedule.baseline(problem, most, plan.databases, plan.threads, plan.cpu)
            found.equal = metaschedule.baseline(problem, plan.trials, plan.databases, plan.threads, plan.cpu)
        except metaschedule.BaselineFailed as error:
            found.problems.append(str(error))
            say(str(error))
    return found


def remeasure(problem: Problem, plan: Plan, tuning: Tuning, yardstick: Yardstick) -> dict[str, Any]:
    """Measure the final kernels of all sides and the peak in turns; return one entry of ``results``."""
    entries = [Entry(label_of(run.seed), "tirtune", {"log": run.log}) for run in tuning.runs]
    baselines = [("metaschedule", tuning.equal, plan.trials)]
    if plan.reach != plan.trials:
        baselines.append((REACH_LABEL, tuning.longer, plan.reach))
    for label, tuned, trials in baselines:
        if tuned is not None:
            entries.append(Entry(label, "metaschedule", {"database": tuned.folder, "trials": trials}))
    entries += [Entry(side, side, {}) for side in plan.against if side in PEERS]
    say(f"{problem.text}: {len(entries)} kernels in turns")
    outcomes = interleave(problem, entries, plan.threads, plan.rounds, yardstick=yardstick)
    return entry_of(problem, plan, tuning, outcomes)


def entry_of(problem: Problem, plan: Plan, tuning: Tuning, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Put together what is known of one operator."""
    ours_seconds = [outcomes[label_of(run.seed)].seconds for run in tuning.runs]
    known = [seconds for seconds in ours_seconds if seconds is not None]
    others = {side: outcomes[side].seconds if side in outcomes else None for side in plan.against}
    reported = [run.best_seconds for run in tuning.runs if run.best_seconds is not None]
    equal = tuning.equal
    runs = tuning.runs
    return {
        "workload": problem.text,
        "flops": problem.flops,
        "seconds": {"tirtune": median(known) if known else None, **others},
        "tuning_seconds": {
            "tirtune": median(run.wall_seconds for run in runs) if runs else None,
            "metaschedule": None if equal is None else equal.wall_seconds,
        },
        "trials": {
            "tirtune": median(run.trials for run in runs) if runs else None,
            "metaschedule": None if equal is None else equal.trials,
        },
        "reported_seconds": {
            "tirtune": median(reported) if reported else None,
            "metaschedule": None if equal is None else equal.best_seconds,
        },
        "measuring_share": median(run.measuring_share for run in runs) if runs else None,
        "reach": _reach(plan, tuning, outcomes, ours_seconds),
        "outcomes": {label: outcome.to_dict() for label, outcome in outcomes.items()},
        "runs": {
            "tirtune": [run.to_dict() for run in runs],
            "metaschedule": None if tuning.longer is None else tuning.longer.to_dict(),
        },
        "problems": tuning.problems,
    }


def _reach(
    plan: Plan, tuning: Tuning, outcomes: Mapping[str, Outcome], measured: Sequence[float | None]
) -> dict[str, Any] | None:
    if tuning.longer is None:
        return None
    target = outcomes[REACH_LABEL if REACH_LABEL in outcomes else "metaschedule"].seconds
    if target is None:
        return None
    walls: list[float | None] = []
    for run, seconds in zip(tuning.runs, measured, strict=True):
        curve = run.to_dict()["curve"]
        scale = ratio(seconds, curve[-1]["best_seconds"] if curve else None)
        walls.append(None if scale is None else first_reached(curve, target, scale))
    spent = _wall(tuning.longer, plan.reach)
    return {
        "trials": plan.reach,
        "target_seconds": target,
        "tirtune_seconds": walls,
        "metaschedule_seconds": spent,
    }


def _wall(tuned: metaschedule.Tuned, trials: int) -> float:
    """Return the baseline's wall time for so many trials."""
    points = tuned.curve[:trials]
    return tuned.wall_seconds if trials >= tuned.trials or not points else points[-1].wall_seconds


def label_of(seed: int) -> str:
    """Return what the outcomes call a run of ours."""
    return "tirtune" if seed == 0 else f"tirtune, seed {seed}"


def say(text: str) -> None:
    """Write progress to standard error."""
    print(text, file=sys.stderr, flush=True)
