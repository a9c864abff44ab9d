"""The contract of search strategies: ask and tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """One candidate that a strategy wants measured.

    Attributes:
        sketch: Name of its sketch.
        row: [S] its decisions.
        predicted_seconds: What the model thinks of it (comparable within one task only).
        origin: Which operator made it, such as ``sample``, ``mutate``, ``neighbour``.
    """

    sketch: str
    row: NDArray[np.int32]
    predicted_seconds: float
    origin: str

    @property
    def plan(self) -> dict[str, Any]:
        """The candidate as a plan."""
        return {"kind": "sketch", "sketch": self.sketch, "row": [int(v) for v in self.row]}

    @property
    def key(self) -> tuple[str, bytes]:
        """Identity within a task."""
        return (self.sketch, np.asarray(self.row, dtype=np.int32).tobytes())


class SearchStrategy(Protocol):
    """Proposes candidates of one task.

    ``propose`` never learns: asked twice without a tell between, it proposes again from the same
    knowledge (the random generator moves on). It never proposes what was observed, proposes nothing
    twice in one batch, and returns fewer than asked only when the space is exhausted. ``observe``
    takes measurements in any order, also of candidates that it did not propose (a resumed log).
    """

    def propose(self, count: int) -> list[Proposal]:
        """Return up to ``count`` distinct, valid, unmeasured candidates, the most promising first."""
        ...

    def observe(
        self,
        sketch: str,
        rows: NDArray[np.int32],
        seconds: Sequence[float | None],
        facts: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Learn what candidates of one sketch took.

        Args:
            sketch: Name of the sketch; unknown names are ignored (a log of another generator).
            rows: [N, S] decisions.
            seconds: N run times, ``None`` for failures.
            facts: N reports of the compiler by name (:class:`tuner.measure.base.MeasureResult`), or none.
        """
        ...
