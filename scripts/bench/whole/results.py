"""The results of whole networks on disk: written after every network, kept, and joined."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.whole.report import summary

Document = dict[str, Any]
"""``{"results": [one per network], "summary": ratios, "runs": [what made them]}``."""


class NoResults(Exception):
    """A file holds no results of networks; the message names it."""


def read_results(path: Path) -> Document:
    """Read a document.

    Raises:
        NoResults: If the file is missing or holds something else.
    """
    try:
        document: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NoResults(f"cannot read results of networks from {str(path)!r}: {error}") from error
    found = document.get("results") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(r, dict) and "network" in r for r in found):
        raise NoResults(f"{str(path)!r} holds no results of networks: give what --json wrote")
    return dict(document)


def join_results(documents: Sequence[Mapping[str, Any]], order: Sequence[str] = ()) -> Document:
    """Join documents: of every network the last result that has a time of ours, else the last one.

    Args:
        documents: Oldest first.
        order: Networks that come first, in this order.

    Returns:
        One document with a summary over all networks; every result names its run.
    """
    results: dict[str, Any] = {}
    runs: list[Any] = []
    for document in documents:
        own = {key: value for key, value in document.items() if key not in ("results", "summary", "runs")}
        first = len(runs)
        runs += document.get("runs") or [own]
        for result in document["results"]:
            known = results.get(result["network"])
            if known is None or _has_time(result) or not _has_time(known):
                results[result["network"]] = {**result, "run": first + int(result.get("run", 0))}
    names = [name for name in order if name in results] + [name for name in results if name not in order]
    joined = [results[name] for name in names]
    return {"results": joined, "summary": summary(joined), "runs": runs}


def write_results(document: Mapping[str, Any], path: Path) -> None:
    """Write a document whole or not at all: a run that is killed leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(document, indent=1))
    temporary.replace(path)


def _has_time(result: Mapping[str, Any]) -> bool:
    seconds = result.get("seconds", {})
    return seconds.get("tirtune") is not None or seconds.get("predicted") is not None
