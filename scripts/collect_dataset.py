"""Measure schedules of many workloads on this machine: the data that pre-trained weights come from.

    python -m scripts.collect_dataset DIRECTORY --minutes 40 [--per-workload 64] [--seed 0]

Workload number i of a seed is always the same: named operators and layers of networks
(``scripts/network_layers.py``) in turns. Shapes of the benchmark suites and of its networks are never
drawn. Of each workload, batches take turns: candidates uniform over the sketches, and the most promising
of each sketch under a model that learns along the way, because a model must rank what a search proposes.
By turns of workloads that model starts from the draft, or from the weights that are shipped: what those
overrate must be among what the next ones learn from. Nothing is raced: a candidate that loses clearly
gets a single run in a search, and one stalled run would be learned as its speed. Every further pass
measures all candidates of the workload again, in another order; the least time counts. There is one file
a workload (see ``scripts/train_pretrained.py`` for its arrays), rewritten after every batch, so that the
run may be interrupted at any moment; the same command goes on with the workloads that have no file yet.
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
from numpy.typing import NDArray

from cost_models.describe import describe
from cost_models.features import COLUMNS, FEATURE_VERSION
from scripts.bench.problems import SUITES
from scripts.network_layers import workload_of_text
from search_space.candidate import Context, context_of
from search_space.hardware import Hardware, hardware_of, resolve_target, target_text
from tuner.errors import JobFailed
from tuner.measure.base import Measurer, MeasureTask
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions
from tuner.measure.timing import NO_RACE
from tuner.models import RunModel
from tuner.search import EvolutionarySearch, Proposal, RandomSearch, Scorer
from tuner.search.evolution import EvolutionOptions

CHANNELS = (8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384)
EXTENTS = (7, 9, 10, 12, 14, 15, 18, 20, 24, 28, 30, 32, 36, 40, 48, 56, 60, 64)
MATRIX = (24, 48, 64, 96, 100, 144, 160, 192, 197, 224, 256, 300, 320, 384, 400, 480, 576, 640, 700, 768, 896)
OPERATORS = (
    *("gmm", "c2d", "dep", "cbr", "c1d", "sfm", "t2d", "grp", "tbg", "dil", "mm", "nrm", "c3d", "cap"),
    "layernorm",
)
LAYERS = ("3x3", "t2d", "3x3", "1x1", "3x3", "t2d", "c1d", "3x3", "grp", "stem", "mm", "dil")
"""Kinds of layers, in turn: 3x3 kernels have the most sketches and the most work of networks."""
LAYER_EXTENTS = (
    *((5, 384), (6, 384), (7, 320), (8, 320), (10, 192), (14, 160), (15, 128), (20, 96), (28, 64)),
    *((32, 48), (40, 40), (56, 24)),
)
"""Extents with the least channels that layers of that size have; they have up to twice as many."""
LAYER_CHANNELS = (
    *(24, 40, 48, 56, 64, 72, 80, 96, 112, 128, 144, 160, 192, 208, 224, 256, 272, 320, 336, 384),
    *(448, 480, 512, 576, 640, 768),
)
NETWORK_EXTENTS = (7, 14, 28, 56, 112)
FOREIGN_CHANNELS = (40, 48, 56, 72, 80, 112, 208, 224, 272, 336, 448, 480, 640, 672)
"""Channels that no layer of the benchmark's networks puts out at :data:`NETWORK_EXTENTS`."""
STEM_EXTENTS = (64, 80, 96, 112, 128, 160, 192)
"""Extents of first layers: few input channels, many positions."""
MAX_FLOPS = 1.2e9
BATCH = 16
POPULATION = 256
"""Candidates of each sketch among which the most promising are looked for."""
PER_SKETCH = 4
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


def draw_layer(kind: str, rng: np.random.Generator) -> str:
    """Return the text of a random layer of a kind of :data:`LAYERS`."""

    def pick(values: Sequence[int]) -> int:
        return int(rng.choice(values))

    size, least = LAYER_EXTENTS[rng.integers(len(LAYER_EXTENTS))]
    usual = [c for c in LAYER_CHANNELS if least <= c <= 2 * least]
    foreign = [c for c in usual if c in FOREIGN_CHANNELS] if size in NETWORK_EXTENTS else usual
    ci, co, stride = pick(usual), pick(foreign), pick((1, 1, 1, 2))
    tail = str(rng.choice(("relu", "add.relu")) if stride == 1 else "relu")
    if kind == "3x3":
        kernel = pick((3, 3, 3, 5))
        return f"c2d:1,{size},{size},{ci},{co},{kernel},{stride},{kernel // 2}+{tail}"
    if kind == "1x1":
        wide, tail = pick((1, 2, 4)), str(rng.choice(("relu", "add.relu", "clip", "add")))
        ci, co = (ci * wide, co) if rng.random() < 0.5 else (ci, co * wide)
        return f"c2d:1,{size},{size},{ci},{co},1,1,0+{tail}"
    if kind == "t2d":
        if rng.random() < 0.2:
            size = pick((16, 20, 24, 28, 40))
            return f"t2d:1,{size},{size},{pick((32, 48, 80, 96))},{pick((1, 3, 4))},4,2,1+tanh"
        size = pick((3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20))
        usual = [c for c in LAYER_CHANNELS if 1000 <= c * size <= 4000]
        ci = pick(usual)
        return f"t2d:1,{size},{size},{ci},{pick([c for c in LAYER_CHANNELS if c <= ci])},4,2,1+relu"
    if kind == "c1d":
        return f"c1d:1,{pick((2, 4, 8)) * size},{ci},{co},{pick((3, 3, 5))},{stride},1+relu"
    if kind == "grp":
        groups = pick((2, 4, 8))
        ci, co = ci // groups * groups, co // groups * groups
        return f"grp:1,{size},{size},{ci},{co},3,{stride},1,1,{groups}+relu"
    if kind == "stem":
        size, kernel = pick(STEM_EXTENTS), pick((3, 5, 7))
        ci, co = pick((1, 3, 4)), pick((16, 24, 48, 80, 96))
        return f"c2d:1,{size},{size},{ci},{co},{kernel},2,{kernel // 2}+relu"
    if kind == "dil":
        return f"dil:1,{size},{size},{ci},{co},3,1,2+{tail}"
    return f"mm:{pick(MATRIX)},{pick(MATRIX)},{pick(MATRIX)}+{rng.choice(('bias', 'add', 'gelu'))}"


def workloads(operators: Sequence[str], seed: int) -> Iterator[tuple[int, str]]:
    """Yield numbered workloads without end, operators in turn; none is of a benchmark, none comes twice."""
    known = {text for texts in SUITES.values() for text in texts}
    for index in itertools.count():
        for attempt in range(100):
            rng = np.random.default_rng([seed, index, attempt])
            if index % 3:
                spec = draw_layer(LAYERS[index * 2 // 3 % len(LAYERS)], rng)
            else:
                spec = draw(operators[index // 3 % len(operators)], rng)
            if spec.partition("+")[0] not in known and workload_of_text(spec).flops <= MAX_FLOPS:
                known.add(spec.partition("+")[0])
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


class BestOfSketches:
    """Propose the most promising candidates of every sketch, and more of the more promising sketches.

    Args:
        context: The workload with its sketches.
        model: Ranks candidates and learns from their measurements.
        rng: Source of randomness.
    """

    def __init__(self, context: Context, model: RunModel, rng: np.random.Generator) -> None:
        scorer = Scorer(context.hardware, model, 0)
        self._searches = [
            EvolutionarySearch({name: sketch}, scorer, rng, EvolutionOptions(population=POPULATION))
            for name, sketch in context.sketches.items()
        ]

    def propose(self, count: int) -> list[Proposal]:
        """See :class:`tuner.search.base.SearchStrategy`."""
        found = [search.propose(PER_SKETCH) for search in self._searches]
        first = sorted((p for batch in found for p in batch[:1]), key=lambda p: p.predicted_seconds)
        others = sorted((p for batch in found for p in batch[1:]), key=lambda p: p.predicted_seconds)
        return [*first, *others][:count]

    def observe(self, sketch: str, rows: NDArray[np.int32], seconds: Sequence[float | None]) -> None:
        """See :class:`tuner.search.base.SearchStrategy`."""
        for search in self._searches:
            search.observe(sketch, rows, seconds)


def collect(
    context: Context, measurer: Measurer, count: int, seed: int, is_shipped: bool = False
) -> Iterator[Rows]:
    """Measure candidates of one opened workload; yield all rows so far after every batch.

    Args:
        context: The workload with its sketches.
        measurer: Measures.
        count: How many candidates, at most.
        seed: Seed of what is drawn.
        is_shipped: Whether the weights that are shipped rank candidates too, not the draft alone.
    """
    rng = np.random.default_rng(seed)
    model = RunModel(context.hardware, seed, disable=() if is_shipped else ("pretrained",))
    guided = BestOfSketches(context, model, rng)
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
            uniform.observe(proposal.sketch, proposal.row[None], [seconds])
            guided.observe(proposal.sketch, proposal.row[None], [seconds])
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
@click.option(
    "--shipped/--no-shipped",
    default=True,
    show_default=True,
    help="Rank candidates of every other workload by the shipped weights; no for data to judge them on.",
)
@click.option("--operators", default=",".join(OPERATORS), show_default=True)
@click.option("--workloads", "most", type=int, help="Stop after this many workloads of the seed.")
def main(
    directory: Path,
    minutes: float,
    per_workload: int,
    passes: int,
    seed: int,
    shipped: bool,
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
            context = context_of(workload_of_text(spec), target)
            key = context.workload.key
            rows = Rows()
            try:
                program = context.workload.program()
                measurer.open(MeasureTask(key, program, target_text(target), spec, hardware.cores))
                for rows in collect(
                    context, measurer, per_workload, seed + index, shipped and index % 2 == 1
                ):
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
