"""Pictures of tuning curves, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tuner.errors import UserError
from tuner.report.curves import Curve

ENDINGS = (".svg", ".png", ".pdf")
_COLUMNS = 2
_BEST, _TRIAL, _UNTUNED, _FAILED = "#0b6e4f", "#7d9aa9", "#444444", "#c1121f"
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "tirtune",
}


def task_svg(curve: Curve) -> str:
    """Draw one task, against trials and against seconds, as an SVG element."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        draw_task(left, curve, "trials")
        draw_task(right, curve, "seconds")
        right.set_ylabel("")
        _legend(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save_figure(curves: Sequence[Curve], path: Path) -> None:
    """Draw every task of a log into one picture.

    Args:
        curves: What to draw, at least one.
        path: An ``.svg``, ``.png`` or ``.pdf`` file.

    Raises:
        UserError: If the ending is another or the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    if path.suffix not in ENDINGS:
        raise UserError(f"cannot draw to {str(path)!r}: name a file that ends in {', '.join(ENDINGS)}")
    rows = -(-len(curves) // _COLUMNS)
    columns = min(_COLUMNS, len(curves))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.8 * columns, 3.0 * rows + 0.3), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for index, curve in enumerate(curves):
            axis = axes[index // columns][index % columns]
            draw_task(axis, curve, "trials")
            axis.set_title(_title(curve), loc="left", fontsize=9)
        for axis in axes.flat[len(curves) :]:
            axis.set_axis_off()
        _legend(figure)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def draw_task(axis: Any, curve: Curve, against: str) -> None:
    """Draw the trials of a task and the best so far.

    Args:
        axis: A matplotlib ``Axes``.
        curve: The task.
        against: ``trials`` or ``seconds``.
    """
    by_trial = against == "trials"

    def place(point: Any) -> float:
        return float(point.trial if by_trial else point.elapsed_seconds)

    factor, unit = _unit(curve)
    timed = [p for p in curve.points if p.seconds is not None]
    failed = [p for p in curve.points if p.seconds is None]
    axis.plot(
        [place(p) for p in timed],
        [(p.seconds or 0.0) * factor for p in timed],
        linestyle="none",
        marker="o",
        markersize=3,
        color=_TRIAL,
        label="trial",
    )
    known = [(place(p), p.best_seconds) for p in curve.points if p.best_seconds is not None]
    if curve.baseline_seconds is not None:
        known.insert(0, (0.0, curve.baseline_seconds))
    axis.step(
        [x for x, _ in known],
        [best * factor for _, best in known],
        where="post",
        color=_BEST,
        linewidth=1.8,
        label="best so far",
    )
    if curve.baseline_seconds is not None:
        axis.axhline(
            curve.baseline_seconds * factor, color=_UNTUNED, linestyle="--", linewidth=1, label="untuned"
        )
    if failed:
        axis.plot(
            [place(p) for p in failed],
            [0.02] * len(failed),
            linestyle="none",
            marker="|",
            color=_FAILED,
            transform=axis.get_xaxis_transform(),
            label="failed",
        )
    axis.set_yscale("log")
    for label in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        label(tick_of(axis))
    axis.set_xlim(left=0)
    axis.set_xlabel("trials" if by_trial else "tuning time of the log, s")
    axis.set_ylabel(f"time, {unit}")


def tick_of(axis: Any) -> Callable[[float, int], str]:
    """Label a logarithmic axis with times as people write them: 50, 100, 200 and no powers of ten."""

    def tick(value: float, _: int) -> str:
        low, high = axis.get_ylim()
        leading = round(value / 10 ** math.floor(math.log10(value) + 1e-9))
        return f"{value:g}" if high < 10 * low or leading in (1, 2, 5) else ""

    return tick


def _legend(figure: Any) -> None:
    """Name every kind of mark once, below the curves."""
    marks: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            marks.setdefault(label, handle)
    figure.legend(
        marks.values(), marks.keys(), loc="outside lower center", ncols=len(marks), frameon=False, fontsize=8
    )


def _title(curve: Curve) -> str:
    name = curve.name if len(curve.name) <= 48 else curve.name[:47] + "…"
    return name if curve.speedup is None else f"{name}: {curve.speedup:.3g}x faster"


def _unit(curve: Curve) -> tuple[float, str]:
    largest = curve.baseline_seconds or curve.best_seconds or 1.0
    for limit, factor, unit in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms")):
        if largest >= limit:
            return factor, unit
    return 1e6, "µs"
