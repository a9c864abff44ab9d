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

from scripts.bench.table import PEERS
from tuner.report.figures import tick_of

COLUMNS = 4
_COLOURS = {"tirtune": "tab:blue", "metaschedule": "tab:orange"}
_PEER_STYLES = dict(zip(PEERS, (("tab:red", ":"), ("tab:green", "--"), ("tab:purple", "-.")), strict=True))


def steps(curve: Sequence[Mapping[str, Any]], against: str) -> tuple[list[float], list[float]]:
    """Return the points of a curve at which the best time improves, and its end.

    Args:
        curve: Points of a tuning run.
        against: ``trial`` or ``wall_seconds``.

    Returns:
        Positions and milliseconds.
    """
    places: list[float] = []
    times: list[float] = []
    for point in curve:
        best = point["best_seconds"]
        if best is not None and (not times or best * 1e3 < times[-1] or point is curve[-1]):
            places.append(float(point[against]))
            times.append(best * 1e3)
    return places, times


def draw(results: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw one picture: per operator best time against trials (above) and seconds (below).

    Args:
        results: Entries of ``results``.
        out: An SVG or PNG file.
    """
    import matplotlib

    matplotlib.use("svg" if out.suffix == ".svg" else "agg")
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
            places, times = steps(run["curve"], against)
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
