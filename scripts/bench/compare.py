"""What changed between two results of ``scripts.bench.ops``.

``python -m scripts.bench.compare BEFORE.json AFTER.json``: times are compared as ratios to the machine's peak
where both files have one, so that two machines, or one machine on two days, can be told apart from the code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench.table import figures, geometric_mean, ratio

SHOWN = ("over_metaschedule", "over_fastest_peer", "trials_per_second", "measuring_share", "reach_ratio")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare operator by operator.

    Args:
        before: A whole document.
        after: A whole document.

    Returns:
        One row per operator of either: ``speedup`` (above 1: faster now), ``speedup_of_peak`` (the same with
        the machine's peak divided out) and each figure's pair; None where one side lacks it.
    """
    old, new = ({r["workload"]: r for r in document["results"]} for document in (before, after))
    rows: list[dict[str, Any]] = []
    for workload in dict.fromkeys([*old, *new]):
        first, second = pair = [
            None if entry is None else (entry, figures(entry))
            for entry in (old.get(workload), new.get(workload))
        ]
        row: dict[str, Any] = {"workload": workload, "speedup": None, "speedup_of_peak": None}
        if first is not None and second is not None:
            row["speedup"] = ratio(first[0]["seconds"].get("tirtune"), second[0]["seconds"].get("tirtune"))
            row["speedup_of_peak"] = ratio(second[1]["of_peak"], first[1]["of_peak"])
        row["figures"] = {
            name: tuple(None if side is None else side[1][name] for side in pair) for name in SHOWN
        }
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a Markdown table with geometric means below."""
    titles = [name.replace("_", " ") for name in SHOWN]
    lines = [
        "| " + " | ".join(["operator", "speed-up", "of peak", *titles]) + " |",
        "| " + " | ".join(["---", *["---:"] * (2 + len(SHOWN))]) + " |",
    ]
    for row in rows:
        pairs = [f"{_short(a)} -> {_short(b)}" for a, b in row["figures"].values()]
        cells = [row["workload"], _short(row["speedup"]), _short(row["speedup_of_peak"]), *pairs]
        lines.append("| " + " | ".join(cells) + " |")
    means = [geometric_mean(row[name] for row in rows) for name in ("speedup", "speedup_of_peak")]
    lines.append("| " + " | ".join(["geometric mean", *map(_short, means), *[""] * len(SHOWN)]) + " |")
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in (arguments.before, arguments.after)]
    for name, document in zip(("before", "after"), documents, strict=True):
        print(f"{name}: {document['machine']['commit']}, {document['machine']['cpu']}: {document['command']}")
    print(table(differences(*documents)))


if __name__ == "__main__":
    main()
