"""Old lines to new ones, one pure function per version.

A migration takes the decoded JSON of a line at version N and returns it at version N + 1; it never
changes its argument. A sample of every old version stays in ``tests/assets/records``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from records.plans import plan_key

JsonObject = dict[str, Any]


def _from_0(line: JsonObject) -> JsonObject:
    """Version 0 (the prototype): flat workload and environment, times without a unit, no plan key.

    before: {"type": "record", "key": K, "name": N, "cpu": C, "threads": T, "plan": {...}, "median": 0.1, ...}
    after:  {"type": "record", "workload": {"key": K, ...}, "environment": {...}, "timing": {...}, ...}
    """
    kind = line["type"]
    after: JsonObject = {"type": kind, "schema": 1}
    environment = {
        "cpu": line.get("cpu", "unknown"),
        "isa": line.get("isa", "unknown"),
        "cores": line.get("threads", 0),
        "threads": line.get("threads", 0),
        "tvm": line.get("tvm", "unknown"),
        "host": line.get("host", ""),
    }
    workload = {"key": line.get("key"), "name": line.get("name", ""), "flops": line.get("flops", 0.0)}
    if kind == "header":
        after |= {
            "session": line["session"],
            "time_unix": line["time"],
            "tool": line.get("tool", "0.0"),
            "options": line.get("options", {}),
            "environment": environment,
        }
    elif kind == "program":
        after |= {"workload": workload, "program": line["program"]}
    else:
        median, message = line.get("median"), line.get("error")
        plan = line["plan"]
        if not isinstance(plan, dict):
            raise ValueError("Expected `object` - at `$.plan`")
        after |= {
            "kind": "baseline" if plan.get("kind") == "default" else "trial",
            "session": line["session"],
            "trial": line.get("trial", 0),
            "time_unix": line["time"],
            "workload": workload,
            "target": line["target"],
            "environment": environment,
            "plan": plan,
            "plan_key": plan_key(plan),
            "trace": line.get("trace"),
            "seed": line.get("seed", 0),
        }
        if median is not None:
            after["timing"] = {
                "runs_seconds": [median],
                "minimum_seconds": median,
                "median_seconds": median,
                "low_seconds": median,
                "high_seconds": median,
            }
        if message is not None:
            after["failure"] = {"stage": line.get("stage", "run"), "message": message}
    return after


MIGRATIONS: dict[int, Callable[[JsonObject], JsonObject]] = {0: _from_0}
"""Version to the function that takes a line of that version to the next."""


def migrate(line: Any) -> JsonObject:
    """Bring a decoded line to the current schema version.

    Raises:
        ValueError: If it is not an object or no migration leads on from its version.
        KeyError: If the old line lacks a field that its version required.
    """
    if not isinstance(line, dict):
        raise ValueError("expected a JSON object")
    current = max(MIGRATIONS) + 1
    while (version := line.get("schema", 0)) != current:
        if version not in MIGRATIONS:
            raise ValueError(f"no migration from schema version {version!r}")
        line = MIGRATIONS[version](line)
    return dict(line)
