"""Finding the records that may be used for a workload here, and saying why others may not.

Two rules decide; nothing else is ever used:

- *exact*: same workload, same target text, same CPU model, instruction-set features and device, same
  thread count. The host's name does not count: containers change it.
- *compatible*: same workload, same kind of target, same instruction-set features and device, same thread
  count; the CPU model or the target text differs. The match says what differs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from records.ranking import Ranked, rank
from records.schema import Environment
from records.summary import Summary

_DEVICE = "cuda"
"""Target kind whose kernels run on a device and not on the CPU."""


@dataclass(frozen=True, slots=True)
class Match:
    """A record that may be used.

    Attributes:
        ranked: The plan and its standing.
        is_exact: Whether the exact rule holds, not just the compatible one.
        note: What differs from here (machine, target, TVM version); empty where nothing does.
    """

    ranked: Ranked
    is_exact: bool
    note: str

    @property
    def summary(self) -> Summary:
        """The record."""
        return self.ranked.summary


@dataclass(frozen=True, slots=True)
class LookupResult:
    """Answer of :func:`lookup`.

    Attributes:
        matches: What may be used, best first: exact ones, then compatible ones.
        reason: Why there is none; empty where there is one.
    """

    matches: tuple[Match, ...]
    reason: str


def lookup(
    summaries: Sequence[Summary],
    *,
    key: str,
    target: str,
    environment: Environment,
    limit: int | None = None,
) -> LookupResult:
    """Find the records of a workload that may be used here.

    Args:
        summaries: Records, such as those of a view.
        key: Structural hash of the workload.
        target: Canonical JSON of the target.
        environment: This machine, with the thread count that is wanted.
        limit: How many matches of each rule to return.

    Returns:
        The matches, or the reason why there is none. Whoever applies them goes down the list: a record
        that no longer applies is left out with its own reason.
    """
    of_workload = [summary for summary in summaries if summary.key == key]
    if not of_workload:
        count = len({summary.key for summary in summaries})
        return LookupResult((), f"no record of workload {key} among {count} workloads: tune it")
    exact, groups = [], dict[tuple[str, str], list[Summary]]()
    for summary in of_workload:
        there = summary.environment
        if _obstacle(summary, target, environment) is not None:
            continue
        if summary.target == target and _is_same_processor(target, there, environment):
            exact.append(summary)
        else:
            groups.setdefault((summary.target, there.gpu or there.cpu), []).append(summary)
    matches = [
        Match(ranked, True, _note(ranked.summary, target, environment)) for ranked in rank(exact, limit)
    ]
    others = [ranked for group in groups.values() for ranked in rank(group, limit)]
    for ranked in sorted(others, key=lambda other: other.order)[:limit]:
        matches.append(Match(ranked, False, _note(ranked.summary, target, environment)))
    return LookupResult(tuple(matches), "" if matches else _reason(of_workload, target, environment))


def _obstacle(summary: Summary, target: str, here: Environment) -> str | None:
    """Return what forbids a record here, or ``None``."""
    there = summary.environment
    if summary.target != target and _target_kind(summary.target) != _target_kind(target):
        return f"target kind {_target_kind(summary.target)}, wanted {_target_kind(target)}"
    if _target_kind(target) == _DEVICE:
        # The CPU only launches kernels; without a device here nothing can be compared but the architecture.
        if _architecture(summary.target) != _architecture(target):
            return f"architecture {_architecture(summary.target)}, wanted {_architecture(target)}"
        if here.gpu and there.gpu != here.gpu:
            return f"device {there.gpu or 'none'}, wanted {here.gpu}"
        return None
    if there.threads != here.threads:
        return f"{there.threads} thread{'s' * (there.threads != 1)}, wanted {here.threads}"
    if there.gpu != here.gpu:
        return f"device {there.gpu or 'none'}, wanted {here.gpu or 'none'}"
    if there.isa != here.isa:
        return f"other instruction-set features ({there.cpu}; this is {here.cpu})"
    return None


def _note(summary: Summary, target: str, here: Environment) -> str:
    there = summary.environment
    notes = []
    if _target_kind(target) == _DEVICE:
        if there.gpu != here.gpu:
            notes.append(f"measured on {there.gpu or 'an unknown device'}, no device is here")
    elif there.cpu != here.cpu:
        notes.append(f"measured on {there.cpu}, this is {here.cpu} with the same features")
    if summary.target != target:
        notes.append(f"tuned for target {summary.target}")
    if there.tvm != here.tvm:
        notes.append(f"measured with TVM {there.tvm}, this is {here.tvm}")
    if there.llvm != here.llvm and there.llvm and here.llvm:
        notes.append(f"measured with LLVM {there.llvm}, this is {here.llvm}")
    return "; ".join(notes)


def _reason(of_workload: Sequence[Summary], target: str, here: Environment) -> str:
    name, count = of_workload[0].name, len(of_workload)
    obstacles = Counter(_obstacle(summary, target, here) for summary in of_workload)
    usable = obstacles.pop(None, 0)
    if not usable:
        return f"no record of {name} applies here: " + _listing(obstacles.items())
    stages = Counter(
        summary.stage or ("wrong_result" if summary.ok is False else "another machine or target")
        for summary in of_workload
        if _obstacle(summary, target, here) is None
    )
    return f"no valid record of {name} among {count}: " + _listing(stages.items())


def _listing(counts: Iterable[tuple[str | None, int]]) -> str:
    ordered = sorted(counts, key=lambda item: (-item[1], str(item[0])))
    shown = "; ".join(f"{count} record{'s' * (count != 1)}: {what}" for what, count in ordered[:4])
    return shown + ("; ..." if len(ordered) > 4 else "")


def _is_same_processor(target: str, there: Environment, here: Environment) -> bool:
    return there.gpu == here.gpu if _target_kind(target) == _DEVICE else there.cpu == here.cpu


def _architecture(target: str) -> str:
    try:
        spec = json.loads(target)
    except (ValueError, RecursionError):
        return "unknown"
    return str(spec.get("arch", "unknown")) if isinstance(spec, dict) else "unknown"


def _target_kind(target: str) -> str:
    try:
        spec = json.loads(target)
    except (ValueError, RecursionError):
        return target.split()[0] if target.split() else target
    return str(spec.get("kind", "unknown")) if isinstance(spec, dict) else str(spec)
