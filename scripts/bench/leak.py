"""Show that measuring leaks nothing: many trials of a tiny kernel, memory and processes watched.

python -m scripts.bench.leak --trials 10000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import psutil

from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import te
from search_space.workload import workload_of
from tuner.measure.base import MeasureTask
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions
from tuner.measure.timing import RacePolicy

_PLAN = {"kind": "default"}
BRIEF = MeasureOptions(race=RacePolicy(quick_repeats=1, block_repeats=1, least_repeats=1, most_repeats=1))
"""Every trial forks, builds, runs, is checked and ends; how often it is timed leaks nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the machine looks like after some trials.

    Attributes:
        trials: Trials so far.
        failed: How many of them failed: on a busy machine some miss a deadline.
        seconds: Seconds so far.
        parent_bytes: Resident memory of this process.
        servers_bytes: Memory of the fork servers that is theirs alone.
        processes: Processes below this one.
        descriptors: Open descriptors of this process.
        servers_descriptors: Open descriptors of the fork servers.
    """

    trials: int
    failed: int
    seconds: float
    parent_bytes: int
    servers_bytes: int
    processes: int
    descriptors: int
    servers_descriptors: int


def tiny_task() -> MeasureTask:
    """Return a task whose kernel takes a microsecond."""
    source = te.placeholder((16, 16), name="source")
    result = te.compute((16, 16), lambda i, j: source[i, j] * 2.0 + 1.0, name="result")
    workload = workload_of(te.create_prim_func([source, result]), "tiny")
    return MeasureTask(workload.key, workload.program(), target_text(resolve_target(None, 1)), "tiny", 1)


def watch(trials: int, batch: int, options: MeasureOptions = BRIEF) -> Iterator[Sample]:
    """Measure the tiny kernel and yield a sample after every batch.

    Args:
        trials: How many trials in all.
        batch: Trials between two samples.
        options: How to measure.
    """
    task, began, failed = tiny_task(), time.monotonic(), 0
    with LocalMeasurer(options) as measurer:
        measurer.open(task)
        for done in range(batch, trials + 1, batch):
            results = measurer.measure(task.key, [_PLAN] * batch)
            failed += sum(r.failure is not None for r in results)
            yield _sample(done, failed, time.monotonic() - began)


def _sample(trials: int, failed: int, seconds: float) -> Sample:
    me = psutil.Process()
    servers = _settled(lambda: me.children(recursive=True))
    return Sample(
        trials=trials,
        failed=failed,
        seconds=round(seconds, 3),
        parent_bytes=me.memory_info().rss,
        servers_bytes=sum(p.memory_full_info().uss for p in servers),
        processes=len(servers),
        descriptors=me.num_fds(),
        servers_descriptors=sum(p.num_fds() for p in servers),
    )


def _settled(children: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    # Children of the last trials may still be on their way out: wait until the number stands still.
    found, still = children(), 0
    while still < 10:
        time.sleep(0.03)
        again = children()
        still = still + 1 if len(again) == len(found) else 0
        found = again
    return found


def main() -> int:
    """Run the trials and print one JSON object a sample; exit code 1 if something grew or a tenth failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--growth", type=float, default=0.1, help="allowed growth of memory, relative")
    arguments = parser.parse_args()
    samples: list[Sample] = []
    for sample in watch(arguments.trials, arguments.batch):
        samples.append(sample)
        print(json.dumps(asdict(sample)), flush=True)
    first, last = samples[0], samples[-1]
    limit = 1.0 + arguments.growth
    has_grown = (
        last.parent_bytes > limit * first.parent_bytes
        or last.servers_bytes > limit * first.servers_bytes
        or last.processes > first.processes
        or last.descriptors > first.descriptors
        or last.servers_descriptors > first.servers_descriptors
    )
    return 1 if has_grown or last.failed > 0.1 * last.trials else 0


if __name__ == "__main__":
    sys.exit(main())
