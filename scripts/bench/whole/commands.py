"""Our side as its users have it: ``tirtune tune`` and ``tirtune compile`` in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.bench.contestant import ROOT, environment


class CommandFailed(Exception):
    """A command of ours ended with an error; the message is its last line."""


def tune(
    model: Path, log: Path, minutes: float, threads: int, seed: int, reuse: bool, timeout_seconds: float
) -> dict[str, Any]:
    """Tune a model for a time.

    Args:
        model: The ONNX file.
        log: Where the measurements go; an older log is replaced.
        minutes: Wall time.
        threads: Threads of the kernels.
        seed: Seed of the search.
        reuse: Take a finished run of the same log instead.
        timeout_seconds: When the command is ended.

    Returns:
        What ``tirtune tune --json`` printed, with ``wall_seconds`` and ``time_unix`` of its start.

    Raises:
        CommandFailed: If the command fails.
    """
    notes = log.with_suffix(".json")
    if reuse and notes.exists() and log.exists():
        kept: dict[str, Any] = json.loads(notes.read_text())
        return kept
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    notes.unlink(missing_ok=True)
    began, started = time.monotonic(), time.time()
    words = ["tune", str(model), "--time", f"{minutes * 60:.0f}s", "--log", str(log)]
    words += ["--threads", str(threads), "--seed", str(seed), "--quiet", "--json"]
    answer = _command(words, threads, timeout_seconds)
    answer |= {"wall_seconds": time.monotonic() - began, "started_unix": started, "minutes": minutes}
    notes.write_text(json.dumps(answer))
    return answer


def compile_model(
    model: Path, records: Sequence[Path], out: Path, threads: int, timeout_seconds: float
) -> dict[str, Any]:
    """Compile a model; without records every schedule is predicted; ended after ``timeout_seconds``.

    Returns:
        What ``tirtune compile --json`` printed, with ``wall_seconds``.

    Raises:
        CommandFailed: If the command fails.
    """
    began = time.monotonic()
    words = ["compile", str(model), "-o", str(out), "--threads", str(threads), "--json"]
    for place in records:
        words += ["-r", str(place)]
    answer = _command(words, threads, timeout_seconds)
    return answer | {"wall_seconds": time.monotonic() - began}


def log_until(log: Path, out: Path, time_unix: float) -> None:
    """Copy what a log held at a time."""
    with log.open() as lines, out.open("w") as kept:
        for line in lines:
            if json.loads(line).get("time_unix", 0.0) <= time_unix:
                kept.write(line)


def _command(words: Sequence[str], threads: int, timeout_seconds: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tuner.cli.main", *words],
            cwd=ROOT,
            env=environment(threads),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"tirtune {words[0]} did not end within {timeout_seconds:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CommandFailed(f"tirtune {words[0]}: {lines[-1]}")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise CommandFailed(f"tirtune {words[0]} printed no JSON: {done.stdout[:200]!r}") from error
    return answer
