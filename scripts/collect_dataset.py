"""Measure schedules of many workloads on this machine: the data that pre-trained weights come from.

    python -m scripts.collect_dataset DIRECTORY --minutes 40 [--per-workload 64] [--seed 0]

Workload number i of a seed is always the same; shapes of the benchmark suites are never drawn. Of each
workload, half of the candidates are uniform and half come from the search under a model that starts
from the draft and learns along the way, because a model must rank what a search proposes. Nothing is
raced: a candidate that loses clearly gets a single run in a search, and one stalled run would be
learned as its speed. Every further pass measures all candidates of the workload again, in another
order; the least time counts. There is one file a workload (see ``scripts/train_pretrained.py`` for its
arrays), rewritten after every batch, so that the run may be interrupted at any moment; the same command
goes on with the workloads that have no file yet.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np

from cost_models.describe import describe
from cost_models.features import COLUMNS, FEATURE_VERSION
from scripts.bench.problems import SUITES
from search_space.candidate import Context, context_of
from search_space.hardware import Hardware, hardware_of, resolve_target, target_text
from tuner.errors import JobFailed
from tuner.measure.base import Measurer, MeasureTask
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions
from tuner.measure.timing import NO_RACE
from tuner.models import RunModel
from tuner.search import EvolutionarySearch, Proposal, RandomSearch, Scorer
from tuner.workloads import named_workload

CHANNELS = (8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384)
EXTENTS = (7, 9, 10, 12, 14, 15, 18, 20, 24, 28, 30, 32, 36, 40, 48, 56, 60, 64)
MATRIX = (24, 48, 64, 96, 100, 144, 160, 192, 197, 224, 256, 300, 320, 384, 400, 480, 576, 640, 700, 768, 896)
OPERATORS = (
    *("gmm", "c2d", "dep", "cbr", "c1d", "sfm", "t2d", "grp", "tbg", "dil", "mm", "nrm", "c3d", "cap"),
    "layernorm",
)
STEM_EXTENTS = (64, 80, 96, 112, 128, 160, 192)
"""Extents of first layers: few input channels, many positions."""
MAX_FLOPS = 1.2e9
BATCH = 16
UNRACED = MeasureOptions(race=replace(NO_RACE, least_repeats=7, most_repeats=7))
"""Seven repeats of a millisecond each, however slow the candidate is."""


def draw(operator: str, rng: np.random.Generator) -> str:
    """Return the text of a random workload of an operator."""

    def pick(values: tuple[int, ...]) -> int:
        return int(rng.choice(values))

    kernel = pick((1, 3, 3, 5))
    stride = pick((1, 1, 2))
    pad = kernel // 2
    size, ci, co = pick(EXTENTS), pick(CHANNELS), pick(CHANNELS)
    if operator in ("c2d", "cbr", "dil", "c3d") and rng.random() < 0.2:
        size, kernel, ci = pick(STEM_EXTENTS), pick((3, 5, 7)), pick((1, 3, 4))
        pad, co = kernel // 2, pick((16, 24, 32, 48, 64, 96))
        if operator == "c3d":
            return f"c3d:1,{pick((4, 6, 8))},{size // 2},{size // 2},{ci},{co},{kernel},{stride},{pad}"
        if operator == "dil":
            return f"dil:1,{size},{size},{ci},{co},{kernel},{stride},{pad}"
        return f"{operator}:1,{size},{size},{ci},{co},{kernel},{stride},{pad}"
    if operator == "gmm":
        return f"gmm:{pick((1, 1, 1, 4))},{pick(MATRIX)},{pick(MATRIX)},{pick(MATRIX)}"
    if operator == "mm":
        return f"mm:{pick(MATRIX)},{pick(MATRIX)},{pick(MATRIX)}"
    if operator == "c1d":
        return f"c1d:1,{4 * size},{ci},{co},{kernel},{stride},{pad}"
    if operator in ("c2d", "cbr"):
        return f"{operator}:1,{size},{size},{ci},{co},{kernel},{stride},{pad}"
    if operator == "c3d":
        return f"c3d:1,{pick((4, 6, 8))},{size},{size},{min(ci, 64)},{min(co, 96)},{kernel},{stride},{pad}"
    if operator == "grp":
        groups = pick((2, 4, 8))
        inputs, outputs = groups * pick((8, 12, 16, 24)), groups * pick((8, 16, 24, 32))
        return f"grp:1,{size},{size},{inputs},{outputs},3,{stride},1,1,{groups}"
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
        return f"nrm:{pick((1, 1, 4, 16))},{pick(MATRIX)},{pick(MATRIX)}"
    if operator in ("sfm", "layernorm"):
        return f"{operator}:{pick(MATRIX)},{pick(MATRIX)}"
    if operator == "tbg":
        return f"tbg:1,{pick((48, 64, 96, 128, 160))},{pick((4, 8, 12))},{pick((32, 48, 64, 96))}"
    raise click.UsageError(f"unknown operator {operator!r}: use some of {', '.join(OPERATORS)}")


def workloads(operators: Sequence[str], seed: int) -> Iterator[tuple[int, str]]:
    """Yield numbered workloads without end, operators in turn; none is of a benchmark, none comes twice."""
    known = {text for texts in SUITES.values() for text in texts}
    for index in itertools.count():
        operator = operators[index % len(operators)]
        for attempt in range(100):
            spec = draw(operator, np.random.default_rng([seed, index, attempt]))
            if spec not in known and named_workload(spec).flops <= MAX_FLOPS:
                known.add(spec)
                yield index, spec
                break


@dataclass(slots=True)
class Rows:
    """What was measured of one workload so far."""

    features: list[np.ndarray] = field(default_factory=list)
    draft_seconds: list[float] = field(default_factory=list)
    measured_seconds: list[float] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)

    def add(self, context: Context, proposal: Proposal, seconds: float | None) -> None:
        """Remember one candidate; ``None`` for a failure."""
        sketch = context.sketches[proposal.sketch]
        features, draft = describe(sketch.nests(proposal.row[None]), context.hardware)
        self.features.append(features[0])
        self.draft_seconds.append(float(draft[0]))
        self.measured_seconds.append(float("nan") if seconds is None else seconds)
        self.plans.append(json.dumps(proposal.plan))

    def lessen(self, place: int, seconds: float | None) -> None:
        """Keep the least time of a candidate that was measured again."""
        if seconds is not None:
            self.measured_seconds[place] = float(np.fmin(self.measured_seconds[place], seconds))

    def write(self, path: Path, spec: str, hardware: Hardware) -> None:
        """Replace a file at once, so that it is whole whenever the run is interrupted."""
        scratch = path.with_suffix(".part")
        with scratch.open("wb") as file:
            np.savez_compressed(
                file,
                features=np.array(self.features, np.float32),
                draft_seconds=np.array(self.draft_seconds),
                measured_seconds=np.array(self.measured_seconds),
                plans=np.array(self.plans),
                groups=np.zeros(len(self.plans), np.int64),
                workloads=np.array([spec]),
                operators=np.array([spec.split(":")[0]]),
                columns=np.array([column.name for column in COLUMNS]),
                feature_version=np.array(FEATURE_VERSION),
                hardware=np.array(json.dumps(hardware.to_dict())),
            )
        scratch.replace(path)


def collect(context: Context, measurer: Measurer, count: int, seed: int) -> Iterator[Rows]:
    """Measure candidates of one opened workload; yield all rows so far after every batch."""
    rng = np.random.default_rng(seed)
    model = RunModel(context.hardware, seed, disable=("pretrained",))
    guided = EvolutionarySearch(context.sketches, Scorer(context.hardware, model, 0), rng)
    uniform = RandomSearch(context.sketches, rng)
    rows = Rows()
    best: float | None = None
    for turn in range(-(-count // BATCH)):
        model.refit()
        proposals = (uniform if turn % 2 == 0 else guided).propose(min(BATCH, count - turn * BATCH))
        if not proposals:
            return
        results = measurer.measure(context.workload.key, [p.plan for p in proposals], best)
        for proposal, result in zip(proposals, results, strict=True):
            seconds = result.seconds
            if seconds is None and result.failure is not None and result.failure.is_censored:
                continue  # only a lower bound is known
            rows.add(context, proposal, seconds)
            best = min(best or float("inf"), seconds) if seconds is not None else best
            for strategy in (uniform, guided):
                strategy.observe(proposal.sketch, proposal.row[None], [seconds])
        yield rows


def measure_again(context: Context, measurer: Measurer, rows: Rows, seed: int) -> None:
    """Measure all candidates of an opened workload once more, in an order of its own."""
    order = np.random.default_rng(seed).permutation(len(rows.plans))
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        plans = [json.loads(rows.plans[place]) for place in places]
        for place, result in zip(places, measurer.measure(context.workload.key, plans, None), strict=True):
            rows.lessen(int(place), result.seconds)


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minutes", default=40.0, show_default=True)
@click.option("--per-workload", default=64, show_default=True)
@click.option("--passes", default=2, show_default=True, help="Measurements of each candidate.")
@click.option("--seed", default=0, show_default=True)
@click.option("--operators", default=",".join(OPERATORS), show_default=True)
@click.option("--workloads", "most", type=int, help="Stop after this many workloads of the seed.")
def main(
    directory: Path,
    minutes: float,
    per_workload: int,
    passes: int,
    seed: int,
    operators: str,
    most: int | None,
) -> None:
    """Measure until the time is up; what DIRECTORY holds already is kept and not measured again."""
    deadline = time.monotonic() + 60 * minutes
    directory.mkdir(parents=True, exist_ok=True)
    target = resolve_target()
    hardware = hardware_of(target)
    assert isinstance(hardware, Hardware)
    with LocalMeasurer(UNRACED) as measurer:
        for index, spec in itertools.islice(workloads(operators.split(","), seed), most):
            path = directory / f"{seed}-{index:03d}-{spec.split(':')[0]}.npz"
            if path.exists():
                continue
            if time.monotonic() > deadline:
                break
            context = context_of(named_workload(spec), target)
            key = context.workload.key
            rows = Rows()
            try:
                program = context.workload.program()
                measurer.open(MeasureTask(key, program, target_text(target), spec, hardware.cores))
                for rows in collect(context, measurer, per_workload, seed + index):
                    rows.write(path, spec, hardware)
                    if time.monotonic() > deadline:
                        break
                for again in range(1, passes):
                    if time.monotonic() < deadline:
                        measure_again(context, measurer, rows, seed + again)
                        rows.write(path, spec, hardware)
            except JobFailed as error:
                click.echo(f"{spec}: {error}", err=True)
            click.echo(
                f"{(deadline - time.monotonic()) / 60:5.1f} min left  {spec}: {_words(rows)}", err=True
            )


def _words(rows: Rows) -> str:
    good = np.array([s for s in rows.measured_seconds if not np.isnan(s)])
    if not len(good):
        return f"{len(rows.plans)} rows, none ran"
    return f"{len(rows.plans)} rows, {len(rows.plans) - len(good)} failed, best {1e3 * good.min():.4f} ms"


if __name__ == "__main__":
    main()
