"""What is tuned: a workload, how often it is called, and by whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from search_space.workload import Workload


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A workload together with the calls that the given models make of it.

    Attributes:
        workload: What is computed.
        models: Names of the models (or the operator's own text) that call it.
        calls: How often each model calls it in one run; the same length as ``models``.
    """

    workload: Workload
    models: tuple[str, ...]
    calls: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.models or len(self.models) != len(self.calls) or min(self.calls) < 1:
            raise ValueError(
                f"task {self.workload.name}: models {self.models} and calls {self.calls} do not match"
            )

    @property
    def name(self) -> str:
        """The workload's readable name."""
        return self.workload.name

    @property
    def key(self) -> str:
        """The workload's look-up key."""
        return self.workload.key

    @property
    def weight(self) -> int:
        """Calls in one run of every model."""
        return sum(self.calls)

    def calls_of(self, model: str) -> int:
        """Return how often one model calls it."""
        return sum(n for name, n in zip(self.models, self.calls, strict=True) if name == model)


def merge(tasks: Iterable[Task]) -> list[Task]:
    """Join the tasks whose workloads are equal, in order of first appearance.

    Args:
        tasks: Tasks of any number of models.

    Returns:
        One task per workload; calls of the same model are added up.
    """
    merged: dict[str, Task] = {}
    for task in tasks:
        known = merged.get(task.key)
        if known is None:
            merged[task.key] = task
            continue
        calls = dict(zip(known.models, known.calls, strict=True))
        for model, count in zip(task.models, task.calls, strict=True):
            calls[model] = calls.get(model, 0) + count
        merged[task.key] = replace(known, models=tuple(calls), calls=tuple(calls.values()))
    return list(merged.values())
