"""How many candidates a second the search looks at.

``python -m scripts.bench.rates [gmm:... c2d:...]``: sampled, checked, featurised and scored, and the same
within whole rounds of the evolutionary search. The model has learned from made-up times, so that it scores
as it does in a run.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
from numpy.typing import NDArray

from cost_models.predictor import Prediction
from scripts.bench.machine import describe
from search_space.candidate import context_of
from search_space.hardware import available_cores, resolve_target
from search_space.sketch import Sketch
from tuner.models import RunModel
from tuner.search import EvolutionarySearch, Scorer
from tuner.workloads import named_workload

POPULATION = 16384
"""Candidates of one pass over all sketches."""
LEARNED = 64
DEFAULT = ("gmm:1,512,512,512", "c2d:1,56,56,64,64,1,1,0")


class CountingScorer(Scorer):
    """A scorer that counts the candidates it scores."""

    scored = 0

    def predict(self, sketch: Sketch, rows: NDArray[np.int32]) -> Prediction:
        """Count, then predict."""
        self.scored += len(rows)
        return super().predict(sketch, rows)


def rates(text: str, seconds: float, population: int = POPULATION, seed: int = 0) -> dict[str, Any]:
    """Measure one operator.

    Args:
        text: A problem.
        seconds: Time to spend on each of the two measurements.
        population: Candidates of one pass over all sketches.
        seed: Seed.

    Returns:
        Candidates per second of the bare pipeline and of whole rounds, and the memory in between.
    """
    context = context_of(named_workload(text), resolve_target())
    random = np.random.default_rng(seed)
    model = RunModel(context.hardware, seed)
    scorer = CountingScorer(context.hardware, model, 0)
    search = EvolutionarySearch(context.sketches, scorer, random)
    for proposal in search.propose(LEARNED):
        search.observe(proposal.sketch, proposal.row[None], [float(random.uniform(1e-5, 1e-3))])
    model.refit()
    sketches = list(context.sketches.values())
    parts = dict.fromkeys(("sample and check", "featurise and score"), 0.0)
    count = rounds = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for sketch in sketches:
            start = time.perf_counter()
            rows = sketch.sample(random, max(1, population // len(sketches)))
            middle = time.perf_counter()
            scorer.score(sketch, rows)
            parts["sample and check"] += middle - start
            parts["featurise and score"] += time.perf_counter() - middle
            count += len(rows)
    pipeline = count / (time.perf_counter() - began)
    memory = _memory_bytes()
    scorer.scored = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        search.propose(16)
        rounds += 1
    spent = time.perf_counter() - began
    return {
        "workload": text,
        "sketches": len(sketches),
        "candidates_per_second": pipeline,
        "seconds_by_part": parts,
        "search_candidates_per_second": scorer.scored / spent,
        "seconds_per_round": spent / rounds,
        "memory_growth_bytes": _memory_bytes() - memory,
    }


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=list(DEFAULT))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--population", type=int, default=POPULATION, help="candidates of one pass")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [rates(text, arguments.seconds, arguments.population) for text in arguments.problems]
    print("| operator | candidates/s | within the search/s | a round, s | memory grew, MiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in found:
        cells = [f"{row['candidates_per_second']:,.0f}", f"{row['search_candidates_per_second']:,.0f}"]
        cells += [f"{row['seconds_per_round']:.3f}", f"{row['memory_growth_bytes'] / 2**20:.1f}"]
        print("| " + " | ".join([row["workload"], *cells]) + " |")
    if arguments.json is not None:
        document = {"rows": found, "machine": describe(available_cores())}
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
