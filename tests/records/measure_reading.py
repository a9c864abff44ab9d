"""How fast 100,000 records open and answer: ``python tests/records/measure_reading.py [records]``."""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        write(path, count)
        wall, cpu = time.monotonic(), time.process_time()
        with JsonlStore(path, read_only=True) as store:
            best = best_per_task(store.view().summaries)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{count} records, {path.stat().st_size / 1e6:.0f} MB, {len(best)} tasks: "
            f"{wall:.2f} s ({cpu:.2f} s of CPU), peak memory {peak:.0f} MiB"
        )


if __name__ == "__main__":
    main()
