"""From results to ratios, geometric means and a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from statistics import median
from typing import Any

PEERS = ("torch", "onnxruntime", "openvino")
"""Sides that are not tuned; the fastest of them represents them."""

HEAD = (
    "operator",
    *("ours, ms", "GFLOP/s", "of peak"),
    *("MetaSchedule, ms", "ratio"),
    *("fastest peer, ms", "ratio"),
    *("trials/s", "its", "ratio"),
    *("measuring", "reaches its best"),
)
"""Columns of the table; every ratio above 1 means that ours is better."""

Result = Mapping[str, Any]


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of what is there; None of nothing.

    Raises:
        ValueError: If a value is not positive.
    """
    known = [value for value in values if value is not None]
    return exp(sum(map(log, known)) / len(known)) if known else None


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Divide, or return None where either is missing."""
    return None if numerator is None or not denominator else numerator / denominator


def fastest_peer(result: Result) -> tuple[str, float] | None:
    """Return name and seconds of the fastest peer, or None if none has the operator."""
    found = [(seconds, name) for name in PEERS if (seconds := result["seconds"].get(name)) is not None]
    return None if not found else (min(found)[1], min(found)[0])


def first_reached(curve: Sequence[Mapping[str, Any]], target_seconds: float, scale: float) -> float | None:
    """Return the wall time at which a curve reaches a target.

    Args:
        curve: Points with ``wall_seconds`` and ``best_seconds`` as recorded while tuning.
        target_seconds: A time measured afterwards.
        scale: What the final kernel takes when measured afterwards over what was recorded for it.
    """
    for point in curve:
        best = point["best_seconds"]
        if best is not None and best * scale <= target_seconds:
            return float(point["wall_seconds"])
    return None


def share_of_peak(result: Result) -> float | None:
    """Return the rate of our kernel over the machine's multiply-adds, both from the same rounds of turns.

    Of every round the ratio, of those the median; of several seeds the median again.
    """
    outcomes: Mapping[str, Any] = result.get("outcomes", {})
    peaks = outcomes.get("peak", {}).get("turns_seconds", ())
    shares = [
        median(peak / ours for peak, ours in zip(peaks, outcome["turns_seconds"], strict=True))
        for label, outcome in outcomes.items()
        if label.split(",")[0] == "tirtune" and peaks and outcome["turns_seconds"]
    ]
    return median(shares) if shares else None


def figures(result: Result) -> dict[str, float | None]:
    """Return every ratio of one operator (an entry of ``results``); above 1 means that ours is better."""
    seconds, reach = result["seconds"], result.get("reach") or {}
    ours = seconds.get("tirtune")
    peer = fastest_peer(result)
    rates = {
        side: ratio(result["trials"].get(side), result["tuning_seconds"].get(side))
        for side in ("tirtune", "metaschedule")
    }
    walls = [wall for wall in reach.get("tirtune_seconds", ()) if wall is not None]
    complete = bool(walls) and len(walls) == len(reach["tirtune_seconds"])
    return {
        "of_peak": share_of_peak(result),
        "over_metaschedule": ratio(seconds.get("metaschedule"), ours),
        **{f"over_{name}": ratio(seconds.get(name), ours) for name in PEERS},
        "over_fastest_peer": ratio(None if peer is None else peer[1], ours),
        "trials_per_second": rates["tirtune"],
        "trials_per_second_metaschedule": rates["metaschedule"],
        "trials_per_second_ratio": ratio(rates["tirtune"], rates["metaschedule"]),
        "measuring_share": result.get("measuring_share"),
        "reach_ratio": ratio(reach.get("metaschedule_seconds"), median(walls) if complete else None),
        "agreement": _agreement(result, "tirtune"),
        "agreement_metaschedule": _agreement(result, "metaschedule"),
    }


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Return geometric mean, smallest value and count of every ratio over all operators."""
    rows = [figures(result) for result in results]
    found: dict[str, Any] = {}
    for name in rows[0] if rows else ():
        known = {r["workload"]: row[name] for r, row in zip(results, rows, strict=True) if row[name]}
        if known:
            worst = min(known, key=lambda workload: known[workload] or 0.0)
            found[name] = {
                "geometric_mean": geometric_mean(known.values()),
                "smallest": known[worst],
                "smallest_at": worst,
                "median": median(value for value in known.values() if value is not None),
                "count": len(known),
            }
    return found


def table(results: Sequence[Result]) -> str:
    """Write results as a Markdown table with the geometric means below."""
    lines = [_row(HEAD), _row(["---", *["---:"] * (len(HEAD) - 1)])]
    for result in results:
        f, seconds, peer = figures(result), result["seconds"], fastest_peer(result)
        ours = seconds.get("tirtune")
        gflops = ratio(result["flops"], ours)
        lines.append(
            _row(
                [
                    result["workload"],
                    _milliseconds(ours),
                    "-" if gflops is None else f"{gflops / 1e9:.1f}",
                    _percent(f["of_peak"]),
                    _milliseconds(seconds.get("metaschedule")),
                    _times(f["over_metaschedule"]),
                    "-" if peer is None else f"{_milliseconds(peer[1])} ({peer[0]})",
                    _times(f["over_fastest_peer"]),
                    _number(f["trials_per_second"]),
                    _number(f["trials_per_second_metaschedule"]),
                    _times(f["trials_per_second_ratio"]),
                    _percent(f["measuring_share"]),
                    _times(f["reach_ratio"]),
                ]
            )
        )
    means = {name: value["geometric_mean"] for name, value in summary(results).items()}
    lines.append(
        _row(
            [
                "geometric mean",
                *["", "", _percent(means.get("of_peak"))],
                *["", _times(means.get("over_metaschedule"))],
                *["", _times(means.get("over_fastest_peer"))],
                _number(means.get("trials_per_second")),
                _number(means.get("trials_per_second_metaschedule")),
                _times(means.get("trials_per_second_ratio")),
                _percent(means.get("measuring_share")),
                _times(means.get("reach_ratio")),
            ]
        )
    )
    return "\n".join(lines)


def _agreement(result: Result, side: str) -> float | None:
    """Return measured over reported seconds."""
    return ratio(result["seconds"].get(side), result.get("reported_seconds", {}).get(side))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.4g}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
