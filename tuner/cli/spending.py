"""Where the time of a run went, as lines under its table."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.units import seconds

_WALL = {
    "open": "opening tasks",
    "search": "searching",
    "build": "building",
    "run": "running",
    "wait": "watching the machine",
}
_PROCESSOR = {"generate": "schedule", "lower": "lower", "llvm": "optimise", "load": "machine code"}
_QUIET = {"first_run": "first run", "timing": "timing", "check": "check"}


def spending_lines(
    parts: Mapping[str, float], stages: Mapping[str, float], trials: int, suspects: int = 0
) -> list[str]:
    """Say where the time of a run and of its mean trial went.

    Args:
        parts: Wall time by part: ``total``, ``open``, ``search``, ``build``, ``run``, ``wait``.
        stages: Seconds by stage over all trials.
        trials: Trials that this run measured.
        suspects: Those beside which the machine was slower than at its best.
    """
    total = parts.get("total", 0.0)
    if total <= 0:
        return []
    known = {text: parts.get(name, 0.0) for name, text in _WALL.items()}
    known["the rest"] = max(0.0, total - sum(known.values()))
    lines = ["Time: " + ", ".join(f"{text} {value / total:.0%}" for text, value in known.items()) + "."]
    if trials and any(stages.values()):
        processor = _phrase(_PROCESSOR, stages, trials)
        quiet = _phrase(_QUIET, stages, trials)
        lines.append(
            f"A trial: {processor} of a core; {quiet} on quiet cores; {trials / total:.1f} trials a second."
        )
    if suspects:
        lines.append(
            f"The machine was over a tenth slower than at its best beside {suspects} of {trials} trials: "
            "their records say how much."
        )
    return lines


def _phrase(names: Mapping[str, str], stages: Mapping[str, float], trials: int) -> str:
    return ", ".join(f"{text} {seconds(stages.get(name, 0.0) / trials)}" for name, text in names.items())
