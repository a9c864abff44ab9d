"""What a tuning run of models does before and after the search: remember, compare, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from records.errors import RecordError
from records.opening import open_store
from tuner import units
from tuner.acceptance.accept import Acceptance, choices_of
from tuner.acceptance.verdict import ModelVerdict
from tuner.choice import Chooser, open_records
from tuner.compilation import Choice
from tuner.errors import UserError
from tuner.extract import LoweredModel
from tuner.result import TuneResult
from tuner.session import Session

RESERVED_PART = 0.3
"""Part of a run's time, at most, that is kept for comparing whole models."""
RESERVED_SECONDS = 90.0
"""More is not kept: ResNet-50 is compiled three times and run in turns in less."""
FUNCTION_SECONDS = 0.2
"""What a function costs in each version, on two cores of a Zen 4: chosen, scheduled, packed and compiled."""
TURNS_SECONDS = 6.0
"""Processes of the versions, and their turns."""


class AfterRun:
    """Remembers what the log gave before a run, and compares the models afterwards.

    Args:
        models: The models of the run.
        target: The resolved target.
        log: Where the records are.
        seconds: Wall time of the whole run, if it is limited.
        started: When the run began, by ``time.monotonic``.

    Raises:
        UserError: If the log cannot be opened or is something else.
    """

    def __init__(
        self,
        models: Sequence[LoweredModel],
        target: Any,
        log: str,
        seconds: float | None,
        started: float | None = None,
    ) -> None:
        self._models = models
        self._target = target
        self._log = log
        self._seconds = seconds
        self._started = time.monotonic() if started is None else started
        self._previous = [self._known(model) for model in models]
        self._expected = [
            expected_seconds(model, 3 if previous else 2)
            for model, previous in zip(models, self._previous, strict=True)
        ]
        self.reserved_seconds = 0.0
        if seconds is not None:
            most = min(RESERVED_PART * seconds, RESERVED_SECONDS)
            for expected in self._expected:
                if self.reserved_seconds + expected <= most:
                    self.reserved_seconds += expected

    def finish(self, session: Session, result: TuneResult) -> TuneResult:
        """Return the result with a verdict on every model; an interrupted run is left as it is.

        A model whose comparison does not fit into the time of the run is not compared, and the verdict
        says so.
        """
        if result.interrupted:
            return result
        began = time.monotonic()
        acceptance = Acceptance(
            self._target, self._chooser, session.confirm_in_place, contexts=session.contexts
        )
        verdicts = tuple(
            self._verdict(acceptance, *parts)
            for parts in zip(self._models, self._previous, self._expected, strict=True)
        )
        took = time.monotonic() - began
        seconds = result.seconds | {"total": result.seconds["total"] + took, "acceptance": took}
        return replace(result, verdicts=verdicts, seconds=seconds)

    def _verdict(
        self,
        acceptance: Acceptance,
        model: LoweredModel,
        previous: Mapping[str, Choice],
        expected: float,
    ) -> ModelVerdict:
        if self._seconds is None:
            return acceptance.accept(model, previous)
        left = self._started + self._seconds - time.monotonic()
        if left < expected:
            enough = units.seconds(sum(self._expected) / RESERVED_PART)
            reason = (
                f"that takes about {expected:.0f} s, and {max(0.0, left):.0f} s of the run's time were left; "
                f"a run of {enough} has room for it"
            )
            return ModelVerdict(model.name, {}, None, None, None, "", reason=reason)
        return acceptance.accept(model, previous, left)

    @contextmanager
    def _chooser(self) -> Iterator[Chooser]:
        with open_records([self._log]) as stores:
            yield Chooser(self._target, stores)

    def _known(self, model: LoweredModel) -> dict[str, Choice]:
        """Look up what the log gives now; the run makes it if there is none."""
        try:
            store = open_store(self._log)
        except RecordError as error:
            raise UserError(str(error)) from error
        with closing(store):
            found = choices_of(model, Chooser(self._target, [store], predict=False))
        return {key: choice for key, choice in found.items() if choice.source == "tuned"}


def expected_seconds(model: LoweredModel, versions: int) -> float:
    """Estimate what comparing the versions of a model takes.

    Args:
        model: The model.
        versions: How many are compared.
    """
    functions = len({workload.key for workload in model.workloads.values()})
    return versions * FUNCTION_SECONDS * functions + TURNS_SECONDS
