"""Tunes on this machine's GPU and compares with PyTorch and MetaSchedule, in one run and a given time.

``python scripts/bench/gpu.py --minutes 8 --json OUT``: every operator gets the same wall time on both tuners;
then the kernels of all sides run in turns in one process. It needs a GPU, PyTorch and TVM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    # Run as a file, Python looks beside it: there stand modules with common names.
    sys.path[0] = str(ROOT)

FINAL_SECONDS = 14.0
"""What the last measurement of one operator is given, PyTorch's start and ``torch.compile`` included."""


@click.command()
@click.option("--minutes", type=float, default=8.0, show_default=True, help="Wall time of the whole run.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Where the figures go.")
@click.option("--target", default="cuda", show_default=True, help="Target text.")
@click.option(
    "--only", multiple=True, metavar="TEXT", help="Compare these operators instead; may be repeated."
)
@click.option("--compile/--no-compile", "compiled", default=True, help="Whether torch.compile takes part.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(
    minutes: float, output: Path | None, target: str, only: tuple[str, ...], compiled: bool, seed: int
) -> None:
    """Tune, compare, print the table and write the figures."""
    from scripts.bench.devices.problems import FLOAT16, FLOAT32
    from search_space.hardware import device_name, resolve_target, target_text
    from tuner.errors import TirtuneError
    from tuner.measure.cuda.measurer import require_device

    try:
        require_device()
        resolved = resolve_target(target)
    except (TirtuneError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    texts = only or (*FLOAT32, *FLOAT16)
    began = time.monotonic()
    share = tuning_seconds(60 * minutes, len(texts))
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tirtune-gpu-") as folder:
        for index, text in enumerate(texts):
            left = 60 * minutes - (time.monotonic() - began)
            share = tuning_seconds(left, len(texts) - index)
            results.append(_compare(text, target_text(resolved), Path(folder), share, compiled, seed))
            print(_line(results[-1]), flush=True)
            if output is not None:
                _write(output, results, device_name(resolved), target_text(resolved), began)
    print(table(results))


def tuning_seconds(left_seconds: float, operators: int) -> float:
    """Return what each tuner gets for the next operator.

    Args:
        left_seconds: Wall time that is left.
        operators: Operators that are left.
    """
    return max(4.0, (left_seconds / operators - FINAL_SECONDS) / 2)


def _compare(
    text: str, target: str, folder: Path, seconds: float, compiled: bool, seed: int
) -> dict[str, Any]:
    place = folder / text.replace(":", "_").replace(",", "_").replace("=", "_")
    place.mkdir()
    kept = place / "run.jsonl"
    tune = ["tuner.cli.main", "tune", text, "--target", target, "--time", f"{seconds:g}s", "--no-accept"]
    ours = _run([*tune, "--log", str(kept), "--seed", str(seed), "--quiet", "--json"], seconds + 30)
    base = ["scripts.bench.devices.metaschedule", text, "--target", target, "--folder", str(place / "ms")]
    (place / "ms").mkdir()
    theirs = _run([*base, "--seconds", f"{seconds:g}", "--seed", str(seed)], seconds + 5)
    last = ["scripts.bench.devices.final", text, "--target", target, "--log", str(kept)]
    last += ["--folder", str(place / "ms"), "--compile" if compiled else "--no-compile"]
    final = _run(last, 120.0)
    found: dict[str, Any] = {
        "workload": text,
        "tuning_seconds": {"tirtune": ours[1], "metaschedule": theirs[1]},
    }
    report = _json(ours[0])
    found["trials"] = sum(task["trials"] for task in report.get("tasks", ()))
    found["failed"] = sum(task["failed"] for task in report.get("tasks", ()))
    found.update(_json(final[0]) or {"error": final[2]})
    return found


def _run(words: Sequence[str], limit_seconds: float) -> tuple[str, float, str]:
    """Run a module of ours; return its output, its wall time and the end of what it complained about."""
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    return out, time.monotonic() - began, " ".join(err.split())[-400:]


def _json(text: str) -> dict[str, Any]:
    start = text.find("{")
    try:
        values = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def sides(result: dict[str, Any]) -> dict[str, float]:
    """Return the best time of every side of a result, in seconds."""
    found: dict[str, float] = {}
    for name, seconds in result.get("seconds", {}).items():
        side = {"torch": "torch", "compiled": "torch.compile"}.get(name.split()[0], name)
        found[side] = min(seconds, found.get(side, seconds))
    return found


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the table: times in milliseconds, and how many times faster tirtune is."""
    lines = [
        "| workload | tirtune, ms | TFLOP/s | torch | torch.compile | MetaSchedule | trials |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    ratios: dict[str, list[float]] = {}
    for result in results:
        times = sides(result)
        ours = times.get("tirtune")
        if ours is None:
            lines.append(f"| {result['workload']} | failed: {result.get('error', 'no time')} | | | | | |")
            continue
        cells = []
        for side in ("torch", "torch.compile", "metaschedule"):
            other = times.get(side)
            cells.append("-" if other is None else f"{other / ours:.2f}x ({other * 1e3:.4g})")
            if other is not None:
                ratios.setdefault(side, []).append(other / ours)
        rate = result["flops"] / ours / 1e12
        trials = f"{result.get('trials', 0)} / {result.get('metaschedule_trials', 0)}"
        lines.append(
            f"| {result['workload']} | {ours * 1e3:.4g} | {rate:.3g} | {' | '.join(cells)} | {trials} |"
        )
    means = {side: exp(sum(map(log, values)) / len(values)) for side, values in ratios.items()}
    lines.append("")
    lines += [f"geometric mean against {side}: {value:.2f}x" for side, value in means.items()]
    return "\n".join(lines)


def _line(result: dict[str, Any]) -> str:
    times = ", ".join(f"{side} {seconds * 1e3:.4g} ms" for side, seconds in sides(result).items())
    return f"{result['workload']}: {times or result.get('error', 'failed')}"


def _write(output: Path, results: list[dict[str, Any]], device: str, target: str, began: float) -> None:
    from scripts.bench.machine import describe

    values = {
        "results": results,
        "machine": {**describe(1), "device": device, "target": target},
        "seconds": time.monotonic() - began,
    }
    output.write_text(json.dumps(values, indent=2) + "\n")


if __name__ == "__main__":
    main()
