"""What a tuning run of models does before and after the search: remember, compare, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from records.errors import RecordError
from records.opening import open_store
from tuner.acceptance.accept import Acceptance, choices_of
from tuner.choice import Chooser, open_records
from tuner.compilation import Choice
from tuner.errors import UserError
from tuner.extract import LoweredModel
from tuner.result import TuneResult
from tuner.session import Session

RESERVED_PART = 0.15
"""Part of a run's time that is kept for comparing whole models."""
RESERVED_SECONDS = 90.0
"""More is not kept: ResNet-50 is compiled three times and run in turns in less."""


class AfterRun:
    """Remembers what the log gave before a run, and compares the models afterwards.

    Args:
        models: The models of the run.
        target: The resolved target.
        log: Where the records are.
        seconds: Wall time of the whole run, if it is limited.

    Raises:
        UserError: If the log cannot be opened or is something else.
    """

    def __init__(self, models: Sequence[LoweredModel], target: Any, log: str, seconds: float | None) -> None:
        self._models = models
        self._target = target
        self._log = log
        self.reserved_seconds = 0.0 if seconds is None else min(RESERVED_PART * seconds, RESERVED_SECONDS)
        self._previous = [self._known(model) for model in models]

    def finish(self, session: Session, result: TuneResult) -> TuneResult:
        """Return the result with a verdict on every model; an interrupted run is left as it is."""
        if result.interrupted:
            return result
        began = time.monotonic()
        accept = Acceptance(self._target, self._chooser, session.confirm_in_place).accept
        pairs = zip(self._models, self._previous, strict=True)
        verdicts = tuple(accept(model, previous) for model, previous in pairs)
        took = time.monotonic() - began
        seconds = result.seconds | {"total": result.seconds["total"] + took, "acceptance": took}
        return replace(result, verdicts=verdicts, seconds=seconds)

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
