"""Whole networks: tune ours, then measure ours, the peers and MetaSchedule in turns.

``python scripts/bench/networks.py --networks resnet18,bert,resnet50@8 --minutes 10 --json OUT.json``

A network is a name of ``scripts/bench/definitions``, with ``@8`` behind it for a batch of eight. A side that
fails is reported with its reason and the rest goes on; the results are written after every network, and those
of other networks that the file of ``--json`` already holds stay. ``--join A.json B.json`` measures nothing:
it writes the table, the JSON and the picture of several runs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import onnx

from scripts.bench.comparison import say
from scripts.bench.definitions import NETWORKS, tiny
from scripts.bench.interleave import Entry, Outcome
from scripts.bench.machine import describe
from scripts.bench.sides.base import NoKernel
from scripts.bench.whole import commands, metaschedule
from scripts.bench.whole.contest import contest
from scripts.bench.whole.deadline import Deadline
from scripts.bench.whole.report import draw, layer_table, ratios, table
from scripts.bench.whole.results import Document, NoResults, join_results, read_results, write_results
from scripts.bench.whole.sides import PEERS, Feeds
from search_space.hardware import available_cores

DEFINITIONS: dict[str, Callable[[int], onnx.ModelProto]] = {**NETWORKS, "tiny": tiny}
DEFAULT = "resnet18,resnet50,mobilenet_v2,resnet3d18,dcgan,bert,vit,resnet50@8,bert@8"
CURVE = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Parts of the tuning time at which the curve has points, besides its ends."""
TUNING_REST_MINUTES = 5.0
"""How much longer than twice its time tuning may take: it compares whole models in the end."""
REST_MINUTES = 40.0
"""What compiling every version, loading every side and the turns may take of one network."""


@dataclass(slots=True)
class Work:
    """What one network has come to.

    Attributes:
        network: As the command names it.
        model: The ONNX file.
        deadline: Until when everything must have ended.
        entries: Sides that have something to run.
        reasons: Side to the reason why it has nothing.
        tuning: What tuning printed.
        compiling: What compiling printed, by label.
        minutes: Label of a point of the curve to its time.
    """

    network: str
    model: Path
    deadline: Deadline
    entries: list[Entry] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    compiling: dict[str, Any] = field(default_factory=dict)
    minutes: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Read the command line, tune and compare network by network, write JSON and pictures."""
    a = _parser().parse_args()
    names = [name for name in a.networks.split(",") if name]
    for name in [*names, *a.metaschedule, *a.curve]:
        if name.partition("@")[0] not in DEFINITIONS:
            sys.exit(
                f"unknown network {name!r}: known are {', '.join(DEFINITIONS)}, with @8 for a batch of 8"
            )
    unknown = [side for side in a.against if side not in PEERS]
    if unknown:
        sys.exit(f"--against names {unknown[0]!r}: known are {', '.join(PEERS)}")
    try:
        kept = [read_results(path) for path in a.join]
        if a.json is not None and a.json.exists():
            kept.append(read_results(a.json))
    except NoResults as error:
        sys.exit(str(error))
    # A killed run must end the processes below it: they would disturb the next one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    document = join_results(kept, DEFAULT.split(","))
    try:
        if not a.join:
            document = _measure_all(names, kept, a)
    except KeyboardInterrupt:
        sys.exit("interrupted: finished networks are in the file of --json")
    _publish(document, a)
    print(table(document["results"]))
    print(json.dumps(document["summary"], indent=1))


def _measure_all(names: list[str], kept: list[Document], a: argparse.Namespace) -> Document:
    threads = a.threads or available_cores()
    a.folder.mkdir(parents=True, exist_ok=True)
    own: Document = {
        "results": [],
        "machine": describe(threads),
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "minutes": a.minutes,
        "seed": a.seed,
    }
    document = join_results(kept)
    began = time.monotonic()
    for name in names:
        own["results"].append(network(name, threads, a))
        own |= {"wall_seconds": time.monotonic() - began, "time_unix": time.time()}
        document = join_results([*kept, own], DEFAULT.split(","))
        _publish(document, a)
        if a.profile:
            say(layer_table(own["results"][-1]))
        say(table(own["results"][-1:]))
    return document


def _publish(document: Document, a: argparse.Namespace) -> None:
    if a.json is not None:
        write_results(document, a.json)
    if a.picture is not None:
        draw(document["results"], a.picture)


def network(name: str, threads: int, a: argparse.Namespace) -> dict[str, Any]:
    """Tune and measure one network; what fails is in ``reasons``."""
    began = time.monotonic()
    work = Work(name, a.folder / f"{_stem(name)}.onnx", Deadline(60.0 * _limit_minutes(name, a)))
    outcomes: dict[str, Outcome] = {}
    layers: dict[str, Any] = {}
    try:
        outcomes, layers = _measured(work, threads, a)
    except Exception as error:  # whatever happens to one network, the others go on
        work.reasons["all"] = f"{type(error).__name__}: {error}"
        say(f"{name}: {work.reasons['all']}")
    seconds = {label: outcome.seconds for label, outcome in outcomes.items()}
    result = {
        "network": name,
        "seconds": {label: s for label, s in seconds.items() if label not in work.minutes},
        "reasons": {label: o.reason for label, o in outcomes.items() if o.reason} | work.reasons,
        "errors": {label: outcome.error for label, outcome in outcomes.items()},
        "outcomes": {label: outcome.to_dict() for label, outcome in outcomes.items()},
        "tuning": work.tuning,
        "compiling": work.compiling,
        "curve": _curve(work, seconds),
        "layers": layers,
        "wall_seconds": time.monotonic() - began,
    }
    return result | {"ratios": ratios(result)}


def _measured(work: Work, threads: int, a: argparse.Namespace) -> tuple[dict[str, Outcome], dict[str, Any]]:
    name = work.network
    feeds = definition(name, work.model)
    _ours(work, threads, a)
    if name in a.metaschedule:
        minutes = a.minutes if a.metaschedule_minutes is None else a.metaschedule_minutes
        say(f"{name}: MetaSchedule, {minutes:g} minutes")
        try:
            library, notes = metaschedule.tune_and_compile(
                work.model, a.folder / f"{_stem(name)}.metaschedule", minutes, threads, a.reuse
            )
            work.entries.append(Entry("metaschedule", "metaschedule", {"library": str(library)}))
            work.compiling["metaschedule"] = notes
        except (NoKernel, OSError, subprocess.SubprocessError) as error:
            work.reasons["metaschedule"] = str(error)
    work.entries += [Entry(side, side, {}) for side in a.against]
    say(f"{name}: {', '.join(entry.label for entry in work.entries)} in turns")
    profiled = [e.label for e in work.entries if not e.label.startswith("at ")] if a.profile else []
    return contest(
        work.model, feeds, work.entries, threads, a.rounds, profiled=profiled, deadline=work.deadline
    )


def definition(name: str, path: Path) -> Feeds:
    """Write a network to a file and draw its inputs."""
    kind, _, batch = name.partition("@")
    model = DEFINITIONS[kind](int(batch or 1))
    onnx.save(model, str(path))
    random = np.random.default_rng(1)
    feeds: dict[str, Any] = {}
    for value in model.graph.input:
        shape = [extent.dim_value for extent in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            rows = next(
                t.dims[0]
                for node in model.graph.node
                for t in model.graph.initializer
                if node.op_type == "Gather" and node.input[1] == value.name and t.name == node.input[0]
            )
            feeds[value.name] = random.integers(0, rows, shape)
        else:
            feeds[value.name] = random.standard_normal(shape, dtype=np.float32)
    return feeds


def _ours(work: Work, threads: int, a: argparse.Namespace) -> None:
    """Compile without records, tune, compile with them, and compile the points of the curve."""
    log = a.folder / f"{_stem(work.network)}.jsonl"
    _compiled(work, "predicted", [], threads, a.folder)
    if a.minutes <= 0:
        return
    say(f"{work.network}: tuning ours, {a.minutes:g} minutes")
    try:
        work.tuning = commands.tune(
            work.model,
            log,
            a.minutes,
            threads,
            a.seed,
            a.reuse,
            work.deadline.left(60.0 * (2.0 * a.minutes + TUNING_REST_MINUTES)),
        )
    except commands.CommandFailed as error:
        work.reasons["tuning"] = str(error)
        if not log.exists():
            return
    _compiled(work, "tirtune", [log], threads, a.folder)
    if work.network not in a.curve or "started_unix" not in work.tuning:
        return
    for part in CURVE:
        label = f"at {part:.4g}"
        cut = a.folder / f"{_stem(work.network)}.{part:.4g}.jsonl"
        minutes = part * work.tuning["minutes"]
        commands.log_until(log, cut, work.tuning["started_unix"] + 60.0 * minutes)
        _compiled(work, label, [cut], threads, a.folder)
        work.minutes[label] = minutes


def _compiled(work: Work, label: str, records: list[Path], threads: int, folder: Path) -> None:
    library = folder / f"{_stem(work.network)}.{label.replace(' ', '_')}.so"
    say(f"{work.network}: compiling, {label}")
    try:
        work.compiling[label] = commands.compile_model(
            work.model, records, library, threads, work.deadline.left()
        )
    except commands.CommandFailed as error:
        work.reasons[label] = str(error)
    else:
        work.entries.append(Entry(label, "tirtune", {"library": str(library)}))


def _curve(work: Work, seconds: dict[str, float | None]) -> list[dict[str, float | None]]:
    ends = {"predicted": 0.0, **work.minutes, "tirtune": work.tuning.get("minutes", 0.0)}
    return [{"minutes": m, "seconds": seconds[label]} for label, m in ends.items() if label in seconds]


def _limit_minutes(name: str, a: argparse.Namespace) -> float:
    """Tuning, as long again for MetaSchedule, and what compiling and measuring every side may take."""
    if a.limit is not None:
        return float(a.limit)
    others = a.minutes if a.metaschedule_minutes is None else a.metaschedule_minutes
    return float(a.minutes + (others if name in a.metaschedule else 0.0) + REST_MINUTES)


def _stem(network: str) -> str:
    return network.replace("@", "_batch")


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", default=DEFAULT, help=f"by commas; {', '.join(DEFINITIONS)}")
    parser.add_argument("--minutes", type=float, default=10.0, help="tuning a network; 0 for prediction only")
    parser.add_argument("--against", type=_words, default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--metaschedule", type=_words, default=[], help="networks that it tunes too")
    parser.add_argument("--metaschedule-minutes", type=float, help="as long as ours when absent")
    parser.add_argument("--curve", type=_words, default=["resnet50"], help="networks with a curve over time")
    parser.add_argument("--picture", type=Path, help="where the curves go, such as out/networks.svg")
    parser.add_argument("--profile", action="store_true", help="the time of every layer, where a side says")
    parser.add_argument("--folder", type=Path, default=Path("out/networks"), help="models, logs, libraries")
    parser.add_argument("--reuse", action="store_true", help="take finished tuning runs of the folder")
    parser.add_argument("--limit", type=float, help="minutes a network; tuning and 40 more when absent")
    parser.add_argument(
        "--join", type=Path, nargs="+", default=[], help="results to join; nothing is measured"
    )
    parser.add_argument("--rounds", type=int, default=20, help="turns of each side")
    parser.add_argument("--threads", type=int, help="of every side; every CPU when absent")
    parser.add_argument("--seed", type=int, default=0, help="of our search")
    parser.add_argument("--json", type=Path, help="where the results go")
    return parser


if __name__ == "__main__":
    main()
