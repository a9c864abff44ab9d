"""Everything that a tuning run can be told; one frozen value that is stored in the log's header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from records.errors import without_password
from tuner.errors import UserError

STRATEGIES = ("evolution", "random")
CACHES = ("warm", "flushed")
ABLATIONS = {
    "draft": "the draft model: candidates are ranked by what was measured only",
    "pretrained": "the pre-trained model",
    "crossover": "children of two parents",
    "descent": "coordinate descent around the incumbent",
    "racing": "stopping clearly slower candidates early",
    "packing": "copies of operands into panels",
}
"""Parts of the tuner that can be switched off, each alone or several, to see what they are worth."""
TRIALS_PER_TASK = 64
MOST_THREADS = 1024
"""TVM aborts the process when the system refuses it a thread; a few thousand are enough for that."""

MOST_SEED = 2**31 - 1
"""What every library that a seed goes to takes; a log refuses to read more than 64 bits."""


def checked_threads(threads: int | None) -> int | None:
    """Refuse a thread count with which no kernel can run.

    Raises:
        UserError: If it is below one or beyond any machine.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UserError(f"--threads must be between 1 and {MOST_THREADS}, got {threads}")
    return threads


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """Options of one tuning run.

    Attributes:
        trials: Measurements to spend over all tasks, those that the log already holds included;
            64 a task when neither ``trials`` nor ``seconds`` is given.
        seconds: Wall time to spend.
        log: Where measurements are kept: a path or a store's URL; nothing is kept when absent.
        seed: Seed of every random choice.
        threads: Threads that kernels use; every CPU of this process when absent.
        batch: Measurements between two updates of the model.
        objective: What the task scheduler minimises: ``latency``, ``requirement:20ms``, ``geomean``
            or ``early-stop``.
        strategy: How candidates are found: ``evolution`` or ``random``.
        resume: Whether measurements that the log already holds count.
        accept: Whether whole models are compared after the run (see ``tuner/acceptance``); needs a log.
        measure: Where candidates run: ``local``, ``rpc://host:port/key``, or ``replay:LOG`` (a log answers).
        cache: State of the caches before each timed call: ``warm``, or ``flushed``.
        input_shapes: Shapes for the inputs that a model leaves open.
        rules: ``file.py:NAME`` of sketch rules of your own (docs/extending.md); empty for none.
        disable: Parts to go without: names of :data:`ABLATIONS`.
    """

    trials: int | None = None
    seconds: float | None = None
    log: str | Path | None = None
    seed: int = 0
    threads: int | None = None
    batch: int = 16
    objective: str = "latency"
    strategy: str = "evolution"
    resume: bool = True
    accept: bool = True
    measure: str = "local"
    cache: str = "warm"
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    rules: str = ""
    disable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values with which no run is possible."""
        checked_threads(self.threads)
        if not 0 <= self.seed <= MOST_SEED:
            raise UserError(f"--seed must be between 0 and {MOST_SEED}, got {self.seed}")
        for name in ("trials", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} must be at least 1, got {value}")
        if self.seconds is not None and not self.seconds > 0:
            raise UserError(f"--time must be positive, got {self.seconds}")
        if self.strategy not in STRATEGIES:
            raise UserError(f"unknown strategy {self.strategy!r}: use one of {', '.join(STRATEGIES)}")
        if self.cache not in CACHES:
            raise UserError(f"unknown cache policy {self.cache!r}: use one of {', '.join(CACHES)}")
        for name in self.disable:
            if name not in ABLATIONS:
                raise UserError(f"--disable {name}: unknown; use one of {', '.join(ABLATIONS)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values; they go into logs, so a password is left out."""
        values = asdict(self)
        values["log"] = None if self.log is None else without_password(str(self.log))
        values["disable"] = list(self.disable)
        values["input_shapes"] = {name: list(shape) for name, shape in self.input_shapes.items()}
        return values
