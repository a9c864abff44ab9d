"""Live progress of a tuning run on standard error, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tuner.cli.ledger import Ledger
from tuner.cli.output import console, table
from tuner.events import RunProgress, TaskProgress
from tuner.units import rate, seconds, times

_PLAIN_PERIOD_SECONDS = 10.0
"""Where there is no terminal, a line at most this often."""
_ROWS = 24
"""Most tasks that the live table shows: those at work and the slowest ones."""


class ProgressDisplay:
    """Shows events: a live table on a terminal, a line now and then elsewhere.

    Args:
        is_quiet: Show nothing.
        clock: Monotonic seconds.
    """

    def __init__(self, is_quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = Ledger()
        self.last: RunProgress | None = None
        self._is_quiet = is_quiet
        self._clock = clock
        self._console: Console = console(stderr=True)
        self._live: Live | None = None
        self._last_line = -_PLAIN_PERIOD_SECONDS

    def __enter__(self) -> Self:
        """Start the live table."""
        if self._console.is_terminal and not self._is_quiet:
            self._live = Live(
                console=self._console, transient=True, refresh_per_second=4, redirect_stdout=False
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the live table."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, progress: RunProgress) -> None:
        """Take an event; this is a :data:`tuner.events.Listener`."""
        self.ledger.take(progress)
        self.last = progress
        if self._is_quiet:
            return
        if progress.message:
            self._console.print(Text(progress.message, style="yellow"))
        if self._live is not None:
            self._live.update(_live_view(progress))
        elif self._clock() - self._last_line >= _PLAIN_PERIOD_SECONDS:
            self._last_line = self._clock()
            self._console.print(_line(progress), soft_wrap=True)


def final_table(tasks: tuple[TaskProgress, ...], ledger: Ledger, parts: dict[str, float]) -> Table:
    """Return the table that ends a run.

    Args:
        tasks: Final states.
        ledger: Whose time it was.
        parts: Wall time of the run by part: ``total``, ``search``, ``build``, ``run``.
    """
    columns = ["task", ">calls", ">untuned", ">best", ">speed-up", ">GFLOP/s", ">trials", ">failed"]
    columns += [">search", ">build", ">measure"]
    rows = []
    for index, task in enumerate(tasks):
        spent = ledger.seconds[index] if index < len(ledger.seconds) else {}
        rows.append([*_task_cells(task), *(seconds(spent.get(part)) for part in ("search", "build", "run"))])
    made = table(None, columns, rows)
    untuned, best, bound = _sums(tasks)
    made.show_footer = True
    total_trials, failed = sum(t.trials for t in tasks), sum(t.failed for t in tasks)
    footers = [f"all {len(tasks)}", "", _bounded(untuned, bound), seconds(best)]
    footers += [_bounded_times(untuned, best, bound), "", str(total_trials), str(failed)]
    footers += [seconds(parts.get(part)) for part in ("search", "build", "run")]
    for column, footer in zip(made.columns, footers, strict=True):
        column.footer = footer
    return made


def _live_view(progress: RunProgress) -> Group:
    shown = _chosen(progress.tasks)
    rows = [[*_task_cells(task), task.state] for task in shown]
    columns = ["task", ">calls", ">untuned", ">best", ">speed-up", ">GFLOP/s", ">trials", ">failed", "state"]
    parts: list[Table | Text] = [table(None, columns, rows)]
    if len(shown) < len(progress.tasks):
        parts.append(Text(f"  and {len(progress.tasks) - len(shown)} more tasks", style="dim"))
    parts.append(Text(_line(progress), style="bold"))
    return Group(*parts)


def _chosen(tasks: tuple[TaskProgress, ...]) -> list[TaskProgress]:
    if len(tasks) <= _ROWS:
        return list(tasks)

    def importance(index: int) -> tuple[bool, float]:
        task = tasks[index]
        known = task.best_seconds or task.baseline_seconds or 0.0
        return (task.state in ("waiting", "done"), -known * task.weight)

    return [tasks[i] for i in sorted(sorted(range(len(tasks)), key=importance)[:_ROWS])]


def _line(progress: RunProgress) -> str:
    budget = "" if progress.trials_total is None else f" of {progress.trials_total}"
    untuned, best, bound = _sums(progress.tasks)
    left = progress.remaining_seconds
    words = [
        f"{progress.trials}{budget} trials",
        f"{sum(t.failed for t in progress.tasks)} failed",
        f"sum of kernels {seconds(best)} (untuned {_bounded(untuned, bound)})",
        f"elapsed {seconds(progress.elapsed_seconds)}",
    ]
    if left is not None and left > 0:
        words.append(f"left about {seconds(left)}")
    busy = next((t for t in progress.tasks if t.state in ("opening", "searching", "measuring")), None)
    if busy is not None:
        words.append(f"{busy.state} {busy.name}")
    return ", ".join(words)


def _task_cells(task: TaskProgress) -> list[str | Text]:
    failed: str | Text = Text(str(task.failed), style="red") if task.failed else "0"
    return [
        task.name,
        str(task.weight),
        _bounded(task.baseline_seconds, task.baseline_is_lower_bound),
        seconds(task.best_seconds),
        _bounded_times(task.baseline_seconds, task.best_seconds, task.baseline_is_lower_bound),
        rate(task.best_gflops),
        str(task.trials),
        failed,
    ]


def _sums(tasks: tuple[TaskProgress, ...]) -> tuple[float | None, float | None, bool]:
    """Return the weighted sums of untuned and best times; None where one is unknown."""
    untuned = [None if t.baseline_seconds is None else t.baseline_seconds * t.weight for t in tasks]
    best = [None if t.best_seconds is None else t.best_seconds * t.weight for t in tasks]
    return (
        sum(u for u in untuned if u is not None) if None not in untuned else None,
        sum(b for b in best if b is not None) if None not in best else None,
        any(t.baseline_is_lower_bound for t in tasks),
    )


def _bounded(value: float | None, is_bound: bool) -> str:
    return f"> {seconds(value)}" if is_bound and value is not None else seconds(value)


def _bounded_times(untuned: float | None, best: float | None, is_bound: bool) -> str:
    if untuned is None or best is None or best <= 0:
        return "-"
    return ("> " if is_bound else "") + times(untuned / best)
