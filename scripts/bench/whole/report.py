"""From the results of whole models to a table, geometric means, layers and the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scripts.bench.table import geometric_mean, ratio
from scripts.bench.whole.sides import PEERS

_TOP_LAYERS = 20


def ratios(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Return how many times faster ours is than each side, and what prediction alone reaches of tuned.

    Hosts of virtual machines are fast for a while and slow for a while. Sides that took turns are therefore
    compared round by round, and the median of these ratios counts, not the ratio of the medians.
    """
    found = {side: _faster(result, "tirtune", side) for side in (*PEERS, "metaschedule")}
    found["fastest_peer"] = min((r for peer in PEERS if (r := found[peer]) is not None), default=None)
    found["predicted_of_tuned"] = _faster(result, "predicted", "tirtune")
    return found


def _faster(result: Mapping[str, Any], first: str, second: str) -> float | None:
    """Return the seconds of the second side over those of the first."""
    outcomes = result.get("outcomes", {})
    own, other = (outcomes.get(side, {}).get("turns_seconds", ()) for side in (first, second))
    if own and len(own) == len(other):
        return float(median(b / a for a, b in zip(own, other, strict=True)))
    return ratio(result["seconds"].get(second), result["seconds"].get(first))


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return geometric mean and least of every ratio over all networks."""
    names = list(results[0]["ratios"]) if results else []
    found: dict[str, Any] = {}
    for name in names:
        known = [r["ratios"][name] for r in results if r["ratios"][name] is not None]
        found[name] = {"geometric_mean": geometric_mean(known), "least": min(known, default=None)}
    return found


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table, one row a network."""
    head = ["network", "ours, ms", "predicted, ms", *(f"{p}, ms" for p in PEERS), "fastest peer / ours"]
    head += ["MetaSchedule, ms", "ratio", "compiled in, s", "largest error"]
    rows = [head, ["---"] * len(head)]
    for result in results:
        seconds, found = result["seconds"], result["ratios"]
        compiling = result["compiling"].get("predicted", {}).get("wall_seconds")
        rows.append(
            [
                result["network"],
                *(_ms(seconds.get(side)) for side in ("tirtune", "predicted", *PEERS)),
                _number(found["fastest_peer"]),
                _ms(seconds.get("metaschedule")),
                _number(found["metaschedule"]),
                _number(compiling),
                "-" if result["errors"].get("tirtune") is None else f"{result['errors']['tirtune']:.1e}",
            ]
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += [f"{r['network']}: {side}: {why}" for r in results for side, why in r["reasons"].items() if why]
    return "\n".join(lines)


def layer_table(result: Mapping[str, Any]) -> str:
    """Return the longest layers of every profiled side, and their sums by kind."""
    lines: list[str] = []
    for side, answer in result["layers"].items():
        if "layers" not in answer:
            lines.append(f"{result['network']}, {side}: {next(iter(answer.values()))}")
            continue
        layers = answer["layers"]
        total = sum(layer["seconds"] for layer in layers) or 1.0
        kinds: dict[str, list[float]] = {}
        for layer in layers:
            kinds.setdefault(layer["kind"], []).append(layer["seconds"])
        lines.append(f"{result['network']}, {side}: {len(layers)} layers, {total * 1e3:.3f} ms")
        for kind, times in sorted(kinds.items(), key=lambda item: -sum(item[1]))[:_TOP_LAYERS]:
            lines.append(f"  {sum(times) * 1e3:9.3f} ms  {sum(times) / total:5.1%}  {len(times):4d} x {kind}")
        for layer in sorted(layers, key=lambda item: -item["seconds"])[:_TOP_LAYERS]:
            lines.append(f"    {layer['seconds'] * 1e3:9.3f} ms  {layer['name']} {layer['detail']}")
    return "\n".join(lines)


def draw(results: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw end-to-end latency against minutes of tuning, the peers as lines.

    Args:
        results: Networks; those without a curve are left out.
        out: An SVG or PNG file.
    """
    import matplotlib

    matplotlib.use("svg" if out.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    drawn = [result for result in results if len(result["curve"]) > 1]
    if not drawn:
        return
    figure, axes = pyplot.subplots(
        1, len(drawn), figsize=(5.2 * len(drawn), 3.8), squeeze=False, layout="constrained"
    )
    for axis, result in zip(axes[0], drawn, strict=True):
        points = [p for p in result["curve"] if p["seconds"] is not None]
        axis.plot([p["minutes"] for p in points], [p["seconds"] * 1e3 for p in points], "o-", label="tirtune")
        for peer, style in zip(PEERS, (":", "--", "-.", (0, (1, 3))), strict=True):
            seconds = result["seconds"].get(peer)
            if seconds is not None:
                axis.axhline(seconds * 1e3, linestyle=style, color="gray", linewidth=1.0, label=peer)
        axis.set_xlabel("minutes of tuning")
        axis.set_ylabel("latency, ms")
        axis.set_yscale("log")
        axis.set_title(result["network"])
        axis.legend(fontsize=7)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    pyplot.close(figure)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
