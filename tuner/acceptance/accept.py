"""After tuning: the whole model with the new schedules against the model without them.

A schedule that wins alone may lose in its place, where caches are filled by its neighbours. The tuned model
therefore runs in turns with the predicted one, and with the one that the log gave before the run. Where a
function takes longer in the tuned model than in one of those, both times are written to the log as
confirmations, so that every later look-up prefers what is faster in place; and the model is compared again.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from search_space.candidate import Context
from search_space.workload import Workload
from tuner.acceptance.race import LIMIT_SECONDS, Lap, open_versions, profile, race
from tuner.acceptance.verdict import ModelVerdict
from tuner.choice import Chooser
from tuner.compilation import Choice, compile_model
from tuner.errors import JobFailed, UserError
from tuner.extract import LoweredModel
from tuner.measure.base import Timing
from tuner.measure.timing import summarise

ATTEMPTS = 3
"""How often schedules may fall back before the verdict stands."""
LEAST_GAIN = 0.005
"""Part of the model's time that a fall-back must save: less cannot be told from noise."""

_UNCHANGED = "its schedules are the ones that it had without this run"

Confirm = Callable[[Workload, Choice, Timing], bool]
"""Writes to the log what a choice took in place; false if its outputs could not be checked."""


class Acceptance:
    """Compares whole models and lets single schedules fall back.

    Args:
        target: The resolved target.
        chooser: Opens what looks schedules up as ``tuner.compile`` will.
        confirm: Writes what was found in place to the log.
        contexts: Workload key to its sketches, where they are known already.
    """

    def __init__(
        self,
        target: Any,
        chooser: Callable[[], AbstractContextManager[Chooser]],
        confirm: Confirm,
        contexts: Mapping[str, Context] | None = None,
    ) -> None:
        self._target = target
        self._chooser = chooser
        self._confirm = confirm
        self._contexts = contexts or {}

    def accept(
        self, lowered: LoweredModel, previous: Mapping[str, Choice], limit_seconds: float | None = None
    ) -> ModelVerdict:
        """Compare one model.

        Args:
            lowered: The model.
            previous: Workload key to what the log gave before the run; empty if it gave nothing.
            limit_seconds: Wall time to keep to: turns are cut short, and nothing is compared again that would
                not fit. What a single comparison takes at least is taken anyway.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="tirtune-") as folder:
                deadline = None if limit_seconds is None else time.monotonic() + limit_seconds
                return self._accept(lowered, previous, Path(folder), deadline)
        except (JobFailed, UserError) as error:
            return ModelVerdict(lowered.name, {}, None, None, None, "", reason=str(error))

    def _accept(
        self,
        lowered: LoweredModel,
        previous: Mapping[str, Choice],
        folder: Path,
        deadline: float | None,
    ) -> ModelVerdict:
        choices = {"tuned": self._tuned(lowered)}
        choices["predicted"] = choices_of(lowered, Chooser(self._target, [], contexts=self._contexts))
        if previous:
            choices["previous"] = {
                key: previous.get(key, predicted) for key, predicted in choices["predicted"].items()
            }
        rivals = [n for n in choices if n != "tuned" and _plans(choices[n]) != _plans(choices["tuned"])]
        if not rivals:
            return ModelVerdict(lowered.name, {}, None, None, None, "", reason=_UNCHANGED)
        choices = {name: choices[name] for name in ("tuned", *rivals)}
        libraries = {name: self._build(lowered, made, folder / name) for name, made in choices.items()}
        fell_back: dict[str, None] = {}
        for attempt in range(ATTEMPTS):
            began = time.monotonic()
            with ExitStack() as stack:
                versions = open_versions(stack, libraries, list(libraries))
                lap = race(versions, limit_seconds=_turns(deadline))
                slow = self._slower_in_place(
                    lowered, choices, lap, profile(versions, limit_seconds=_turns(deadline))
                )
            fell_back |= dict.fromkeys(slow)
            again = time.monotonic() - began
            if not slow or attempt == ATTEMPTS - 1 or (deadline and time.monotonic() + again > deadline):
                break
            choices["tuned"] = self._tuned(lowered)
            libraries["tuned"] = self._build(lowered, choices["tuned"], folder / f"tuned{attempt}")
        return verdict_of(lowered.name, lap, tuple(fell_back))

    def _tuned(self, lowered: LoweredModel) -> dict[str, Choice]:
        with self._chooser() as choose:
            return choices_of(lowered, choose)

    def _build(self, lowered: LoweredModel, choices: Mapping[str, Choice], path: Path) -> Path:
        compiled = compile_model(lowered, self._target, lambda workload: choices[workload.key])
        return compiled.save(path.with_suffix(".so"))

    def _slower_in_place(
        self,
        lowered: LoweredModel,
        choices: Mapping[str, Mapping[str, Choice]],
        lap: Lap,
        calls: Mapping[str, Mapping[str, list[float]]],
    ) -> list[str]:
        """Confirm what is faster in place elsewhere; return the names of the tasks that fall back."""
        times = {name: _by_task(lowered, found) for name, found in calls.items()}
        fallen: list[str] = []
        for key, workload in _by_key(lowered).items():
            mine = times["tuned"].get(key)
            rival = min(
                (name for name in times if name != "tuned" and key in times[name]),
                key=lambda name, key=key: summarise(times[name][key]).median,  # type: ignore[misc]
                default=None,
            )
            if mine is None or rival is None:
                continue
            other, ours = choices[rival][key], choices["tuned"][key]
            theirs = times[rival][key]
            gain = summarise([a - b for a, b in zip(mine, theirs, strict=True)])
            if other.plan is None or other.plan == ours.plan or ours.plan is None:
                continue
            if gain.low <= 0.0 or gain.median < LEAST_GAIN * lap.median("tuned"):
                continue
            count = sum(n for s, n in lowered.calls.items() if lowered.workloads[s].key == key)
            if self._confirm(workload, other, summarise([t / count for t in theirs])):
                self._confirm(workload, ours, summarise([t / count for t in mine]))
                fallen.append(workload.name)
        return fallen


def _turns(deadline: float | None) -> float:
    """Return the seconds after which no further round of turns begins: half of what is left."""
    return LIMIT_SECONDS if deadline is None else min(LIMIT_SECONDS, (deadline - time.monotonic()) / 2)


def choices_of(lowered: LoweredModel, choose: Callable[[Workload], Choice]) -> dict[str, Choice]:
    """Ask once per task; workload key to answer."""
    return {key: choose(workload) for key, workload in _by_key(lowered).items()}


def _plans(choices: Mapping[str, Choice]) -> dict[str, Any]:
    return {key: choice.plan for key, choice in choices.items()}


def verdict_of(model: str, lap: Lap, fell_back: tuple[str, ...]) -> ModelVerdict:
    """Turn times into a verdict."""
    seconds = {name: lap.median(name) for name in lap.seconds}
    against = min((name for name in seconds if name != "tuned"), key=lambda name: seconds[name])
    ratio = lap.ratio("tuned", against)
    return ModelVerdict(model, seconds, ratio.median, ratio.low, ratio.high, against, fell_back)


def _by_key(lowered: LoweredModel) -> dict[str, Workload]:
    return {workload.key: workload for workload in lowered.workloads.values()}


def _by_task(lowered: LoweredModel, calls: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Add up the functions of each task: workload key to seconds in one run, one entry a round."""
    found: dict[str, list[float]] = {}
    for symbol, seconds in calls.items():
        workload = lowered.workloads.get(re.sub(r"_packed\d*$", "", symbol))
        if workload is None:
            continue
        known = found.get(workload.key)
        found[workload.key] = (
            seconds if known is None else [a + b for a, b in zip(known, seconds, strict=True)]
        )
    return found
