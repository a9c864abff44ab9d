"""How a workload is scheduled at compile time: a record, else a prediction, else the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from records.apply import DoesNotApply, apply_record, program_lookup
from records.environment import capture_environment
from records.errors import RecordError
from records.opening import opened
from records.query import lookup
from records.store import LogView, Query, RecordStore
from search_space.candidate import Context, context_of, materialize, sketch_plan
from search_space.error_text import last_line
from search_space.hardware import device_name, hardware_of, target_text
from search_space.workload import Workload
from tuner.compilation import Choice
from tuner.errors import UserError
from tuner.models import RunModel
from tuner.search import EvolutionarySearch, Scorer

MAX_RECORDS = 5
"""Records of one workload that are tried before it counts as a miss."""
PREDICTED_CANDIDATES = 4
"""Predicted schedules that are tried before a workload stays untuned."""


@dataclass(slots=True)
class Chooser:
    """Answers what :func:`tuner.compilation.compile_model` asks.

    Attributes:
        target: The resolved TVM target.
        stores: Where records are looked up, in order.
        predict: Whether workloads without a record are scheduled by prediction.
        seed: Seed of the prediction.
        contexts: Workload key to its sketches, where they are known already.
    """

    target: Any
    stores: Sequence[RecordStore]
    predict: bool = True
    seed: int = 0
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def __call__(self, workload: Workload) -> Choice:
        """Choose a schedule for one workload."""
        found, reason = self._from_records(workload)
        if found is not None:
            return found
        if not self.predict:
            return Choice(None, "default", reason)
        return self._predicted(workload, reason)

    def _from_records(self, workload: Workload) -> tuple[Choice | None, str]:
        if not self.stores:
            return None, "no records were given"
        environment = capture_environment(hardware_of(self.target).cores, gpu=device_name(self.target))
        reasons: list[str] = []
        for store in self.stores:
            view = store.view(Query(keys=frozenset({workload.key})))
            result = lookup(
                view.summaries,
                key=workload.key,
                target=target_text(self.target),
                environment=environment,
                limit=MAX_RECORDS,
            )
            if not result.matches:
                reasons.append(self._missing(store, view, workload, result.reason))
            for match in result.matches:
                try:
                    record = store.load([match.summary])[0]
                    if record.plan.get("kind") == "default":
                        if all(summary.kind == "baseline" for summary in view.summaries):
                            # A run that has only just begun: nothing was compared with it yet.
                            reasons.append(f"{view.where} holds only its untuned time")
                            continue
                        return Choice(
                            None,
                            "tuned",
                            "nothing faster than the untuned program was found",
                            match.ranked.seconds,
                            record.plan,
                        ), ""
                    module = apply_record(workload, record, program_lookup(view)).module
                except DoesNotApply as error:
                    reasons.append(str(error))
                    continue
                words = [f"record {match.summary.plan_key} of {view.where}"]
                words += [match.note] if match.note else []
                func = module["main"]
                return Choice(func, "tuned", "; ".join(words), match.ranked.seconds, record.plan), ""
        return None, "; ".join(dict.fromkeys(reasons))

    @staticmethod
    def _missing(store: RecordStore, view: LogView, workload: Workload, reason: str) -> str:
        if view.summaries:
            return reason
        others = len({s.key for s in store.view().summaries})
        return f"no record of this workload among the {others} of {view.where}"

    def _predicted(self, workload: Workload, reason: str) -> Choice:
        context = self.contexts.get(workload.key) or context_of(workload, self.target)
        model = RunModel(context.hardware, self.seed)
        strategy = EvolutionarySearch(
            context.sketches, Scorer(context.hardware, model, 0), np.random.default_rng(self.seed)
        )
        reason = "; ".join(words for words in (reason, model.notice) if words)
        refused: list[str] = []
        for proposal in strategy.propose(PREDICTED_CANDIDATES):
            try:
                plan = sketch_plan(context.sketches[proposal.sketch], proposal.row)
                func = materialize(context, plan).module["main"]
            except (RuntimeError, ValueError) as error:  # whatever TVM objects to, another one may do
                refused.append(last_line(error))
                continue
            expected = proposal.predicted_seconds
            return Choice(func, "predicted", reason, expected if isfinite(expected) else None, plan)
        return Choice(None, "default", "; ".join([reason, *refused]))


@contextmanager
def open_records(places: Sequence[str]) -> Iterator[list[RecordStore]]:
    """Open stores for look-up and close them at the end.

    Args:
        places: Paths or URLs.

    Raises:
        UserError: If one cannot be opened or read, or holds something else.
    """
    try:
        with opened(places) as stores:
            yield stores
    except RecordError as error:
        raise UserError(str(error)) from error
