"""How fast 100,000 records open and answer, and what an append costs before and after them.

``python tests/records/measure_reading.py [records]``
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import record_samples as samples

from records.encoding import pack_text
from records.jsonl import JsonlStore
from records.ranking import best_per_task


def write(path: Path, count: int) -> None:
    """Write records of the size that tuning makes: 50 workloads, a trace that packs to some 3 KB."""
    rng = random.Random(0)
    trace = pack_text("[" + ",".join(str(rng.random()) for _ in range(230)) + "]")
    with JsonlStore(path) as store:
        for start in range(0, count, 1000):
            batch = []
            for i in range(start, min(start + 1000, count)):
                plan = {"kind": "sketch", "sketch": "tiled", "row": [rng.randrange(64) for _ in range(24)]}
                workload = samples.workload(f"{i % 50:016x}", f"gmm:{i % 50}")
                batch.append(
                    samples.record(i, rng.random() + 1e-6, plan=plan, workload=workload, trace=trace)
                )
            store.append(batch)


def append_seconds(path: Path, batches: int = 50) -> float:
    """Append batches of 16 records to a log that is open, and return the median seconds of one."""
    spent = []
    with JsonlStore(path) as store:
        store.view()
        for number in range(batches):
            batch = [samples.record(10**6 + 16 * number + i, 1e-3) for i in range(16)]
            began = time.perf_counter()
            store.append(batch)
            spent.append(time.perf_counter() - began)
    return median(spent)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "log.jsonl", Path(folder) / "small.jsonl"
        write(path, count)
        write(small, 100)
        wall, cpu = time.monotonic(), time.process_time()
        with JsonlStore(path, read_only=True) as store:
            best = best_per_task(store.view().summaries)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{count} records, {path.stat().st_size / 1e6:.0f} MB, {len(best)} tasks: "
            f"{wall:.2f} s ({cpu:.2f} s of CPU), peak memory {peak:.0f} MiB"
        )
        before, after = append_seconds(small), append_seconds(path)
        print(f"appending 16 records: {before * 1e3:.2f} ms behind 100, {after * 1e3:.2f} ms behind {count}")


if __name__ == "__main__":
    main()
