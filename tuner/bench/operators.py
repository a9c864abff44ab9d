"""Operators against other frameworks, by the repository's benchmark scripts.

The scripts are no part of the installed package: they need peers and a checkout. They are looked up when
the command is used, so that nothing here depends on them.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records.opening import opened
from records.store import Query
from tuner.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT_TRIALS = 64


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to compare and how.

    Attributes:
        against: Names of other frameworks.
        records: Our log, or None.
        trials: Trials of both tuners; with a log, only MetaSchedule's.
        threads: Threads of every side.
        rounds: Turns of each side.
        folder: Where tuning logs and MetaSchedule's databases are kept and found again.
        seed: Seed of our tuning.
    """

    against: tuple[str, ...]
    records: str | None
    trials: int | None
    threads: int
    rounds: int
    folder: Path
    seed: int = 0

    def subfolder(self, name: str) -> Path:
        """Make a folder for what is kept.

        Raises:
            UserError: If it cannot be made.
        """
        path = self.folder / name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--folder {self.folder} cannot be made: {error.strerror or error}; name another"
            ) from error
        return path


def check_sides(against: tuple[str, ...]) -> None:
    """Refuse names of frameworks that nobody knows.

    Raises:
        UserError: If one is unknown.
    """
    known = [name for name in _script("sides").MODULES if name != "tirtune"]
    for name in against:
        if name not in known:
            raise UserError(f"--against names {name!r}: known are {', '.join(known)}")


def bench_operator(text: str, options: BenchOptions) -> dict[str, Any]:
    """Compare one operator.

    Args:
        text: A named operator.
        options: See :class:`BenchOptions`.

    Returns:
        ``workload``, and by side ``seconds``, ``tuning_seconds``, ``trials`` and ``reasons`` (why a side
        has no time).

    Raises:
        UserError: If the text is no named operator.
    """
    interleave = _script("interleave")
    problem = _script("problems").problem_of(text)
    entries = []
    tuning: dict[str, float | None] = {}
    trials: dict[str, int | None] = {}
    reasons: dict[str, str] = {}
    log, tuning["tirtune"], trials["tirtune"] = _ours(problem, options, reasons)
    if "tirtune" not in reasons:
        entries.append(interleave.Entry("tirtune", "tirtune", {"log": log}))
    if "metaschedule" in options.against:
        metaschedule = _script("metaschedule")
        count = options.trials or trials["tirtune"] or DEFAULT_TRIALS
        cpu = _script("machine").cpu_name()
        try:
            tuned = metaschedule.baseline(
                problem, count, options.subfolder("databases"), options.threads, cpu
            )
        except metaschedule.BaselineFailed as error:
            reasons["metaschedule"] = str(error)
        else:
            tuning["metaschedule"], trials["metaschedule"] = tuned.wall_seconds, tuned.trials
            found = {"database": tuned.folder, "trials": tuned.trials}
            entries.append(interleave.Entry("metaschedule", "metaschedule", found))
    entries += [interleave.Entry(s, s, {}) for s in options.against if s != "metaschedule"]
    outcomes = interleave.interleave(problem, entries, options.threads, options.rounds)
    seconds: dict[str, float | None] = dict.fromkeys(("tirtune", *options.against))
    for label, outcome in outcomes.items():
        seconds[label] = outcome.seconds
        if outcome.seconds is None:
            reasons[label] = outcome.reason
    return {
        "workload": problem.text,
        "seconds": seconds,
        "tuning_seconds": tuning,
        "trials": trials,
        "reasons": reasons,
    }


def describe_machine(threads: int) -> dict[str, Any]:
    """Return CPU, cores, threads, load and versions."""
    found: dict[str, Any] = _script("machine").describe(threads)
    return found


def _ours(
    problem: Any, options: BenchOptions, reasons: dict[str, str]
) -> tuple[str | None, float | None, int | None]:
    """Return our log, and what tuning it took as far as is known."""
    if options.records is not None:
        # The sides run in processes of their own, in the repository's folder.
        place = options.records if "://" in options.records else str(Path(options.records).resolve())
        return place, *_spent(problem.text, place)
    if options.trials is None:
        return None, 0.0, 0  # scheduled by prediction
    ours = _script("ours")
    try:
        run = ours.run(problem, options.trials, options.seed, options.threads, options.subfolder("logs"))
    except ours.RunFailed as error:
        reasons["tirtune"] = str(error)
        return None, None, None
    return run.log, run.wall_seconds, run.trials


def _spent(text: str, log: str) -> tuple[float | None, int | None]:
    from tuner.workloads import named_workload

    with opened([log]) as (store,):
        found = store.view(Query(keys=frozenset({named_workload(text).key}))).summaries
    if not found:
        return None, None
    spent = sum(s.search_seconds + s.build_seconds + s.run_seconds for s in found)
    return spent, sum(s.kind == "trial" for s in found)


def _script(name: str) -> Any:
    if not (CHECKOUT / "scripts" / "bench").is_dir():
        raise UserError(f"bench needs the repository's scripts: there are none in {CHECKOUT}; run a checkout")
    if str(CHECKOUT) not in sys.path:
        sys.path.append(str(CHECKOUT))
    return importlib.import_module(f"scripts.bench.{name}")
