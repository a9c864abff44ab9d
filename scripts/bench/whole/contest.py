"""One model on all sides, in turns: each side in its own process, one running at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.contestant import Contestant, SideFailed
from scripts.bench.interleave import Entry, Outcome, outcome_of, reason_of, take_turns
from scripts.bench.whole.deadline import Deadline, TimeIsUp
from scripts.bench.whole.sides import Feeds

WORKER = "scripts.bench.whole.worker"
LOAD_SECONDS = 1200.0
"""Longest time until a side has its model: torch.compile needs minutes."""


def contest(
    model: Path,
    feeds: Feeds,
    entries: Sequence[Entry],
    threads: int,
    rounds: int,
    turn_seconds: float = 0.3,
    warm_seconds: float = 0.1,
    profiled: Sequence[str] = (),
    deadline: Deadline | None = None,
) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Time one model on several sides, round robin.

    Args:
        model: The ONNX file.
        feeds: Its inputs.
        entries: The sides.
        threads: Threads of every side.
        rounds: Turns of each side.
        turn_seconds: Least timed seconds of a turn.
        warm_seconds: Least seconds of warm-up at the start of a turn.
        profiled: Labels of the sides whose layers are timed, after everything else.
        deadline: By when every side must have its model.

    Returns:
        Label to outcome (a side that fails has a reason), and label to layers.
    """
    deadline = deadline or Deadline(inf)
    outcomes: dict[str, Outcome] = {}
    loaded: dict[str, dict[str, Any]] = {}
    layers: dict[str, Any] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.savez(scratch / "feeds.npz", **dict[str, Any](feeds))
        common = {"model": str(model), "feeds": str(scratch / "feeds.npz")}
        common["reference"] = str(scratch / "reference.npy")
        with Contestant("onnxruntime", threads, worker=WORKER) as first:
            reply = first.ask({"do": "reference", **common}, deadline.left(LOAD_SECONDS))
            if reply:
                raise SideFailed(f"no reference: {reason_of(reply)}")
        running: dict[str, Contestant] = {}
        messages = {e.label: {**common, "options": {"threads": threads, **e.options}} for e in entries}
        for entry in entries:
            side = stack.enter_context(Contestant(entry.side, threads, entry.label, worker=WORKER))
            try:
                reply = side.ask({"do": "load", **messages[entry.label]}, deadline.left(LOAD_SECONDS))
            except (SideFailed, TimeIsUp) as error:
                reply = {"broken": str(error)}
            if "variant" in reply:
                running[entry.label], loaded[entry.label] = side, reply
            else:
                outcomes[entry.label] = Outcome(None, reason=reason_of(reply))
                side.close()
        message = {"do": "turn", "seconds": turn_seconds, "warm_seconds": warm_seconds}
        turns, died = take_turns(running, message, rounds)
        outcomes.update(died)
        for label in profiled:
            if label in turns:
                try:
                    layers[label] = running[label].ask({"do": "profile", **messages[label]}, LOAD_SECONDS)
                except SideFailed as error:
                    layers[label] = {"broken": str(error)}
    outcomes.update({label: outcome_of(loaded[label], seconds) for label, seconds in turns.items()})
    return {entry.label: outcomes[entry.label] for entry in entries}, layers
