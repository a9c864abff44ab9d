"""What a tuning run returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tuner.acceptance.verdict import ModelVerdict
from tuner.events import TaskProgress


@dataclass(frozen=True, slots=True, eq=False)
class TuneResult:
    """What a run achieved.

    Attributes:
        tasks: Final state of every task.
        plans: Best plan of every task by workload key; absent where nothing worked.
        log: Where the measurements are, or None.
        seconds: Wall time by part: ``total``, ``search``, ``open`` (preparing tasks), ``build``, ``run``, and
            ``acceptance`` where whole models were compared.
        target: Canonical JSON of the target.
        threads: Threads of the kernels.
        interrupted: Whether the user stopped the run.
        stopped: Why the run ended.
        stages: Sums over the trials of this run by stage, see :data:`tuner.measure.account.STAGES`.
        measured: Trials that this run measured.
        gain_of_as_many_again: Forecast of the part of the tasks' time that as many trials again would save;
            None where it is unknown.
        suspects: Those beside which the machine was more than a tenth slower than at its best.
        verdicts: For every model whether it is faster as a whole; empty where that was not asked.
    """

    tasks: tuple[TaskProgress, ...]
    plans: dict[str, dict[str, Any]]
    log: str | None
    seconds: dict[str, float]
    target: str
    threads: int
    interrupted: bool
    stopped: str
    stages: dict[str, float] = field(default_factory=dict)
    measured: int = 0
    gain_of_as_many_again: float | None = None
    suspects: int = 0
    verdicts: tuple[ModelVerdict, ...] = ()
