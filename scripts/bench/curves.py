"""Best time found against trials and against seconds, drawn from the JSON of ``scripts.bench.ops``.

``python -m scripts.bench.curves RESULTS.json --out docs/curves.svg``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench.comparison import REACH_LABEL, label_of
from scripts.bench.table import PEERS, ratio
from tuner.report.figures import tick_of

COLUMNS = 4
_COLOURS = {"tirtune": "tab:blue", "metaschedule": "tab:orange"}
_PEER_STYLES = dict(zip(PEERS, (("tab:red", ":"), ("tab:green", "--"), ("tab:purple", "-.")), strict=True))


def steps(
    curve: Sequence[Mapping[str, Any]], against: str, final_seconds: float | None = None
) -> tuple[list[float], list[float]]:
    """Return the points of a curve at which the best time improves, and its end.

    Args:
        curve: Points of a tuning run.
        against: ``trial`` or ``wall_seconds``.
        final_seconds: What the final kernel takes when all sides are measured in turns: the curve is scaled
            to that, for the machine may have been faster or slower while it was tuned.

    Returns:
        Positions and milliseconds.
    """
    places: list[float] = []
    times: list[float] = []
    scale = ratio(final_seconds, curve[-1]["best_seconds"]) if curve else None
    for point in curve:
        if point["best_seconds"] is None:
            continue
        best = point["best_seconds"] * 1e3 * (1.0 if scale is None else scale)
        if not times or best < times[-1] or point is curve[-1]:
            places.append(float(point[against]))
            times.append(best)
    return places, times


def draw(results: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw one picture: per operator best time against trials (above) and seconds (below).

    Args:
        results: Entries of ``results``.
        out: An SVG or PNG file.
    """
    import matplotlib

    matplotlib.use("svg" if out.suffix == ".svg" else "agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # Letters as text, not as drawings: a third of the size.
    from matplotlib import pyplot

    columns = min(COLUMNS, max(1, len(results)))
    rows = ceil(len(results) / columns)
    figure, axes = pyplot.subplots(
        2 * rows, columns, figsize=(4.2 * columns, 5.6 * rows), squeeze=False, layout="constrained"
    )
    for unused in axes.flat:
        unused.set_visible(False)
    for place, result in enumerate(results):
        for half, against in enumerate(("trial", "wall_seconds")):
            axis = axes[2 * (place // columns) + half][place % columns]
            axis.set_visible(True)
            _one(axis, result, against)
    handles = {
        label: handle for a in axes.flat for handle, label in zip(*a.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 2 * columns)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    pyplot.close(figure)


def _one(axis: Any, result: Mapping[str, Any], against: str) -> None:
    runs = result["runs"]
    baseline = [runs["metaschedule"]] if runs["metaschedule"] is not None else []
    for side, found in (("tirtune", runs["tirtune"]), ("metaschedule", baseline)):
        for number, run in enumerate(found):
            places, times = steps(run["curve"], against, _final(result, side, run))
            label = None if number else side if len(found) == 1 else f"{side}, {len(found)} seeds"
            axis.step(places, times, where="post", color=_COLOURS[side], label=label, linewidth=1.2)
    for name in PEERS:
        seconds = result["seconds"].get(name)
        if seconds is not None:
            colour, style = _PEER_STYLES[name]
            axis.axhline(seconds * 1e3, color=colour, linestyle=style, linewidth=0.9, label=name)
    axis.set_yscale("log")
    for label in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        label(tick_of(axis))
    if against == "wall_seconds":
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("trials" if against == "trial" else "seconds of tuning")
    axis.set_ylabel("best, ms")
    axis.set_title(result["workload"], fontsize=9)


def _final(result: Mapping[str, Any], side: str, run: Mapping[str, Any]) -> float | None:
    """Return what a run's final kernel took in turns with the others."""
    outcomes = result["outcomes"]
    if side == "tirtune":
        found = outcomes.get(label_of(run["seed"]))
    else:
        found = outcomes.get(REACH_LABEL) or outcomes.get(side)
    return None if found is None else found["seconds"]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/curves.svg"))
    arguments = parser.parse_args()
    draw(json.loads(arguments.results.read_text())["results"], arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
