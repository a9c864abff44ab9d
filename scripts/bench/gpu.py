"""Tunes on this machine's GPU and compares with PyTorch and MetaSchedule, in one run and a given time.

``python scripts/bench/gpu.py --minutes 8 --json OUT``: every operator gets the same wall time on both tuners;
then the kernels of all sides run in turns in one process. It needs a GPU, PyTorch and TVM. Figures are
written after every operator, and the run ends in time whatever becomes of its parts.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    # Run as a file, Python looks beside it: there stand modules with common names.
    sys.path[0] = str(ROOT)

_STARTED = time.monotonic()
"""The time box holds from here on: what is imported later counts."""
FINAL_SECONDS = 10.0
"""What the last measurement of one operator is given, ``torch.compile`` included."""
LEAST_SECONDS = 4.0
"""Shorter tuning is not worth its start."""


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
    from scripts.bench.devices.problems import PROBLEMS
    from search_space.hardware import device_name, resolve_target, target_text
    from tuner.errors import TirtuneError
    from tuner.measure.cuda.measurer import require_device

    deadline = _STARTED + 60 * minutes
    try:
        require_device()
        resolved = resolve_target(target)
    except (TirtuneError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    texts = only or PROBLEMS
    machine: dict[str, Any] = {
        "device": device_name(resolved),
        "target": target_text(resolved),
        "minutes": minutes,
    }
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tirtune-gpu-") as folder:
        judge = Judge(machine["target"], compiled)
        try:
            for index, text in enumerate(texts):
                plan = Plan(text, machine["target"], Path(folder), deadline, seed)
                results.append(_compare(plan, len(texts) - index, judge))
                print(_line(results[-1]), flush=True)
                if output is not None:
                    _write(output, results, machine, time.monotonic() - _STARTED)
        finally:
            judge.close()
    print(table(results))


def tuning_seconds(left_seconds: float, operators: int) -> float:
    """Return what each tuner gets for the next operator; less than ``LEAST_SECONDS``: it is left out.

    Args:
        left_seconds: Wall time that is left.
        operators: Operators that are left.
    """
    share = (left_seconds / operators - FINAL_SECONDS) / 2
    return max(share, min(LEAST_SECONDS, (left_seconds - FINAL_SECONDS) / 2))


@dataclass(frozen=True, slots=True)
class Plan:
    """What one comparison is about.

    Attributes:
        text: The operator.
        target: Canonical text of the target.
        folder: Where logs may lie.
        deadline: When the whole run ends, by the monotonic clock.
        seed: Seed of both tuners.
    """

    text: str
    target: str
    folder: Path
    deadline: float
    seed: int

    def within(self, wanted_seconds: float, reserved_seconds: float) -> float:
        """Return how long a step may take so that what follows has its time before the deadline."""
        return max(1.0, min(wanted_seconds, self.deadline - time.monotonic() - reserved_seconds))


def _compare(plan: Plan, operators: int, judge: Judge) -> dict[str, Any]:
    seconds = tuning_seconds(plan.deadline - time.monotonic(), operators)
    if seconds < LEAST_SECONDS:
        return {"workload": plan.text, "error": "no time was left"}
    place = plan.folder / plan.text.replace(":", "_").replace(",", "_").replace("=", "_")
    (place / "ms").mkdir(parents=True)
    kept = place / "run.jsonl"
    words = [plan.text, "--target", plan.target]
    tune = ["tuner.cli.main", "tune", *words, "--time", f"{seconds:g}s", "--no-accept"]
    tune += ["--log", str(kept), "--seed", str(plan.seed), "--quiet", "--json"]
    ours = _run(tune, plan.within(seconds + 15, seconds + FINAL_SECONDS))
    base = ["scripts.bench.devices.metaschedule", *words, "--folder", str(place / "ms")]
    base += ["--seconds", f"{seconds:g}", "--seed", str(plan.seed)]
    theirs = _run(base, plan.within(seconds + 5, FINAL_SECONDS))
    report = _json(ours.output)
    found: dict[str, Any] = {
        "workload": plan.text,
        "tuning_seconds": {"tirtune": ours.seconds, "metaschedule": theirs.seconds},
        "trials": sum(task["trials"] for task in report.get("tasks", ())),
        "failed": sum(task["failed"] for task in report.get("tasks", ())),
    }
    if not report:
        found["complaint"] = ours.complaint or f"stopped after {ours.seconds:.0f} s"
    question = {"text": plan.text, "log": str(kept), "folder": str(place / "ms")}
    found.update(judge.ask(question, plan.within(60.0, 0.0)))
    if "metaschedule" not in found.get("seconds", {}):
        found["metaschedule_complaint"] = theirs.complaint
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """What a process left: its output, its wall time, the end of what it complained about."""

    output: str
    seconds: float
    complaint: str


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path[1:])])}


def _run(words: Sequence[str], limit_seconds: float) -> Done:
    """Run a module of ours; end it and all its processes at the limit."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=_environment(),
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
    return Done(out, time.monotonic() - began, " ".join(err.split())[-400:])


class Judge:
    """The process that has PyTorch loaded and times the kernels of all sides, one operator after the other.

    It starts while the first operator is tuned. A kernel that breaks the device ends it, and the next
    question starts another.
    """

    def __init__(self, target: str, compiled: bool) -> None:
        self._words = ["--target", target, "--compile" if compiled else "--no-compile"]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.bench.devices.final", *self._words],
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, question: dict[str, str], limit_seconds: float) -> dict[str, Any]:
        """Return the times of an operator, or an error.

        Args:
            question: ``text``, ``log`` and ``folder`` (see ``scripts.bench.devices.final``).
            limit_seconds: How long it may take.
        """
        if self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": "the process of the last measurement ended"}
        if not select.select([self._process.stdout], [], [], limit_seconds)[0]:
            self.close()
            return {"error": f"the last measurement took longer than {limit_seconds:.0f} s"}
        answer = _json(self._process.stdout.readline())
        if not answer:
            self.close()
            return {"error": f"the last measurement ended with code {self._process.returncode}"}
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


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


def _write(output: Path, results: list[dict[str, Any]], machine: dict[str, Any], seconds: float) -> None:
    """Write what there is so far, never half of it."""
    from scripts.bench.machine import describe

    values = {"results": results, "machine": {**describe(1), **machine}, "seconds": seconds}
    draft = output.with_name(output.name + ".part")
    draft.write_text(json.dumps(values, indent=2) + "\n")
    draft.replace(output)


if __name__ == "__main__":
    main()
