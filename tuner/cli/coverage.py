"""The table that says where the schedule of every task of a model comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from tuner.cli.output import table
from tuner.compiled_model import Coverage
from tuner.units import counted, per_cent, seconds

_STYLES = {"tuned": "green", "predicted": "yellow", "default": "red"}
SOURCES = tuple(_STYLES)


def print_coverage(out: Console, coverage: Sequence[Coverage]) -> None:
    """Print a row a task and a line of counts.

    Args:
        out: Where to.
        coverage: One entry a task.
    """
    rows = [
        [
            entry.name,
            str(entry.calls),
            Text(entry.source, style=_STYLES[entry.source]),
            seconds(entry.seconds),
            per_cent(entry.share),
            entry.reason,
        ]
        for entry in coverage
    ]
    out.print(table(None, ["task", ">calls", "schedule", ">time", ">share", "reason"], rows))
    counts = counts_of(coverage)
    out.print(
        ", ".join(f"{counts[source]} {source}" for source in SOURCES)
        + f" of {counted(len(coverage), 'task')}"
    )


def counts_of(coverage: Sequence[Coverage]) -> dict[str, int]:
    """Return how many tasks are tuned, predicted and default."""
    found = Counter(entry.source for entry in coverage)
    return {source: found[source] for source in SOURCES}


def coverage_values(coverage: Sequence[Coverage]) -> list[dict[str, Any]]:
    """Return the entries for JSON; the task's name is under ``workload``."""
    return [
        {"workload": entry.name} | {k: v for k, v in asdict(entry).items() if k != "name"}
        for entry in coverage
    ]
