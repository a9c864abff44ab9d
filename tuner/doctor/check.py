"""One answer of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "note", "bad"]
"""``note``: it works, but measurements or speed suffer; ``bad``: something will not work."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question, its answer and what to do.

    Attributes:
        name: What was looked at.
        state: See :data:`State`.
        value: What was found, for people.
        remedy: What to do; empty where nothing is to be done.
        data: The same as plain values for programs.
    """

    name: str
    state: State
    value: str
    remedy: str = ""
    data: Any = None
