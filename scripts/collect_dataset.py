"""Measure schedules of many workloads on this machine: the data that pre-trained weights come from.

    python -m scripts.collect_dataset OUT.npz --minutes 20 [--per-workload 96] [--seed 0]

Workloads are drawn at random for every operator, never a shape of the benchmark suite. Of each, half
of the candidates are uniform and half come from the search under the model that learns along the
way, because a model must rank what a search proposes. The file is written after every workload (see
``scripts/train_pretrained.py`` for its arrays), so the run may be stopped at any time.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np

from cost_models.features import COLUMNS, FEATURE_VERSION, describe
from scripts.bench.problems import SUITES
from search_space.candidate import Context, context_of, sketch_plan
from search_space.hardware import hardware_of, resolve_target, target_text
from tuner.errors import JobFailed
from tuner.measure.base import MeasureTask
from tuner.measure.local import LocalMeasurer
from tuner.models import RunModel
from tuner.search import EvolutionarySearch, RandomSearch, Scorer
from tuner.workloads import named_workload

CHANNELS = (8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384)
EXTENTS = (7, 9, 10, 12, 14, 15, 18, 20, 24, 28, 30, 32, 36, 40, 48, 56, 60, 64)
MATRIX = (24, 48, 64, 96, 100, 144, 160, 192, 197, 224, 256, 300, 320, 384, 400, 480, 576, 640, 700, 768, 896)
OPERATORS = ("gmm", "c2d", "c1d", "c3d", "grp", "dil", "dep", "t2d", "cap", "nrm", "sfm", "cbr", "tbg")
MAX_FLOPS = 1.5e9


def draw(operator: str, rng: np.random.Generator) -> str:
    """Return the text of a random workload of an operator."""

    def pick(values: tuple[int, ...]) -> int:
        return int(rng.choice(values))

    kernel = pick((1, 3, 3, 5))
    stride = pick((1, 1, 2))
    pad = kernel // 2
    size, ci, co = pick(EXTENTS), pick(CHANNELS), pick(CHANNELS)
    if operator == "gmm":
        return f"gmm:{pick((1, 1, 1, 4))},{pick(MATRIX)},{pick(MATRIX)},{pick(MATRIX)}"
    if operator == "c1d":
        return f"c1d:1,{4 * size},{ci},{co},{kernel},{stride},{pad}"
    if operator in ("c2d", "cbr"):
        return f"{operator}:1,{size},{size},{ci},{co},{kernel},{stride},{pad}"
    if operator == "c3d":
        return f"c3d:1,{pick((4, 6, 8))},{size},{size},{min(ci, 64)},{min(co, 96)},{kernel},{stride},{pad}"
    if operator == "grp":
        groups = pick((2, 4, 8))
        inputs, outputs = groups * pick((8, 12, 16, 24)), groups * pick((8, 16, 24, 32))
        return f"grp:1,{size},{size},{inputs},{outputs},3,{stride},1"
    if operator == "dil":
        return f"dil:1,{size},{size},{ci},{co},3,1,2"
    if operator == "dep":
        return f"dep:1,{2 * size},{2 * size},{ci},{pick((3, 3, 5))},{stride},1"
    if operator == "t2d":
        return f"t2d:1,{pick((4, 6, 8, 10, 12, 16, 20))},{pick((4, 6, 8, 12, 16))},{ci},{co},4,2,1"
    if operator == "cap":
        side = pick((6, 8, 10, 12, 14))
        return f"cap:1,{side},{side},{pick((4, 8, 16, 24))},{pick((8, 16, 24, 32))},3,{stride},1,4"
    if operator == "nrm":
        return f"nrm:1,{pick(MATRIX)},{pick(MATRIX)}"
    if operator == "sfm":
        return f"sfm:{pick(MATRIX)},{pick(MATRIX)}"
    return f"tbg:1,{pick((48, 64, 96, 128, 160))},{pick((4, 8, 12))},{pick((32, 48, 64, 96))}"


def measured(
    context: Context, measurer: LocalMeasurer, model: RunModel, group: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure candidates of one workload.

    Returns:
        Features [N, F], draft seconds [N] and measured seconds [N] (``nan`` for failures).
    """
    rng = np.random.default_rng([seed, group])
    scorer = Scorer(context.hardware, model, group)
    evolution = EvolutionarySearch(context.sketches, scorer, rng)
    uniform = RandomSearch(context.sketches, rng)
    features, drafts, seconds = [], [], []
    best = float("inf")
    key = context.workload.key
    for turn in range(-(-count // 16)):
        strategy = uniform if turn % 2 == 0 else evolution
        proposals = strategy.propose(16)
        if not proposals:
            break
        plans = [sketch_plan(context.sketches[p.sketch], p.row) for p in proposals]
        results = measurer.measure(key, plans, best if np.isfinite(best) else None)
        for proposal, result in zip(proposals, results, strict=True):
            taken = result.seconds
            if taken is None and result.failure is not None and result.failure.is_censored:
                continue  # only a lower bound is known
            sketch = context.sketches[proposal.sketch]
            row = proposal.row[None]
            x, draft = describe(sketch.nests(row), context.hardware)
            features.append(x[0])
            drafts.append(float(draft[0]))
            seconds.append(float("nan") if taken is None else taken)
            best = min(best, taken or best)
            for strategy in (uniform, evolution):
                strategy.observe(proposal.sketch, row, [taken])
        model.refit()
    return np.array(features, np.float32), np.array(drafts), np.array(seconds)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--minutes", default=20.0, show_default=True)
@click.option("--per-workload", default=96, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--operators", default=",".join(OPERATORS), show_default=True)
def main(out: Path, minutes: float, per_workload: int, seed: int, operators: str) -> None:
    """Collect until the time is up."""
    started = time.monotonic()
    target = resolve_target()
    hardware = hardware_of(target)
    rng = np.random.default_rng(seed)
    chosen = operators.split(",")
    names: list[str] = []
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    model = RunModel(hardware, seed)
    with LocalMeasurer() as measurer:
        while time.monotonic() - started < 60 * minutes:
            spec = draw(chosen[len(names) % len(chosen)], rng)
            if spec in _suite() or spec in names:
                continue
            workload = named_workload(spec)
            if workload.flops > MAX_FLOPS:
                continue
            context = context_of(workload, target)
            try:
                task = MeasureTask(
                    workload.key, workload.program(), target_text(target), spec, hardware.cores
                )
                measurer.open(task)
                part = measured(context, measurer, model, len(names), per_workload, seed)
            except JobFailed as error:
                click.echo(f"{spec}: {error}", err=True)
                continue
            if not len(part[0]):
                continue
            names.append(spec)
            parts.append(part)
            _write(out, names, parts, hardware)
            good = part[2][~np.isnan(part[2])]
            rate = workload.flops / good.min() / 1e9 if len(good) else 0.0
            click.echo(
                f"{time.monotonic() - started:6.0f} s  {spec}: {len(part[0])} rows, "
                f"{int(np.isnan(part[2]).sum())} failed, best {rate:.1f} GFLOP/s",
                err=True,
            )


def _suite() -> set[str]:
    """Return every shape that a benchmark uses."""
    return {text for texts in SUITES.values() for text in texts}


def _write(out: Path, names: list[str], parts: list[tuple[np.ndarray, ...]], hardware: object) -> None:
    groups = np.concatenate([np.full(len(p[0]), i, np.int64) for i, p in enumerate(parts)])
    np.savez_compressed(
        out,
        features=np.concatenate([p[0] for p in parts]),
        draft_seconds=np.concatenate([p[1] for p in parts]),
        measured_seconds=np.concatenate([p[2] for p in parts]),
        groups=groups,
        workloads=np.array(names),
        columns=np.array([column.name for column in COLUMNS]),
        operators=np.array([n.split(":")[0] for n in names]),
        feature_version=np.array(FEATURE_VERSION),
        hardware=np.array(json.dumps(hardware.to_dict())),  # type: ignore[attr-defined]
    )


if __name__ == "__main__":
    main()
