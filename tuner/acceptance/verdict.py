"""Whether tuning made a whole model faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """Whether tuning made a whole model faster.

    Attributes:
        model: Its name.
        seconds: Version (``tuned``, ``predicted``, ``previous``) to median seconds of a run.
        ratio: Tuned over the fastest other version; below 1 is faster.
        low: Lower end of its 95% interval.
        high: Upper end of its 95% interval.
        against: That other version.
        fell_back: Tasks whose schedule was slower in place and is no longer used.
        reason: Why there is no comparison; empty when there is one.
    """

    model: str
    seconds: Mapping[str, float]
    ratio: float | None
    low: float | None
    high: float | None
    against: str
    fell_back: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_slower(self) -> bool:
        """Whether the tuned model is slower beyond noise."""
        return self.low is not None and self.low > 1.0

    @property
    def words(self) -> str:
        """The verdict in one line."""
        if self.reason or self.ratio is None:
            return f"{self.model}: not compared as a whole: {self.reason}"
        times = ", ".join(f"{name} {seconds * 1e3:.3f} ms" for name, seconds in self.seconds.items())
        interval = f"{1 / self.ratio:.2f}x ({1 / (self.high or 1):.2f} to {1 / (self.low or 1):.2f})"
        is_faster = self.high is not None and self.high < 1.0
        verdict = "SLOWER than" if self.is_slower else "faster than" if is_faster else "as fast as"
        words = f"{self.model}: {times}; {verdict} {self.against}, {interval}"
        if self.fell_back:
            words += f"; slower in place and no longer used: {', '.join(self.fell_back)}"
        return words


def verdict_values(verdict: ModelVerdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    return {
        "model": verdict.model,
        "seconds": dict(verdict.seconds),
        "ratio": verdict.ratio,
        "low": verdict.low,
        "high": verdict.high,
        "against": verdict.against,
        "is_slower": verdict.is_slower,
        "fell_back": list(verdict.fell_back),
        "reason": verdict.reason,
    }
