"""The same seed does the same, through the whole product, where times are replayed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tuner.measure.replay import ReplayMeasurer

pytestmark = pytest.mark.tvm

ROOT = Path(__file__).parents[2]
WORDS = ["tune", "gmm:1,32,48,64", "sfm:16,48", "--trials", "40", "--batch", "8", "--threads", "2"]


def seconds_of(task, plan):
    """Return a time that depends on nothing but the plan; the untuned program is slowest."""
    return 1e-3 * (1 + sum(plan["row"])) if plan["kind"] == "sketch" else 1.0


def tuned(log: Path, *words: str) -> tuple[list[object], dict[str, object]]:
    """Tune by replay on the command line; return the lines of the log without what is of the moment."""
    from tuner.cli.main import run

    assert run([*WORDS, "--log", str(log), *words]) == 0
    records = [json.loads(line) for line in log.read_text().splitlines()]
    trials = [r for r in records if r["type"] == "record"]
    kept = [(r["kind"], r["round"], r["workload"]["name"], r["plan"], r["timing"]) for r in trials]
    return kept, {r["workload"]["name"]: r["plan"] for r in trials}


@pytest.fixture
def replayed(monkeypatch):
    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: ReplayMeasurer({}, estimate=seconds_of))


def test_the_same_seed_leaves_the_same_log(replayed, tmp_path):
    one, _ = tuned(tmp_path / "one.jsonl", "--seed", "3")
    two, _ = tuned(tmp_path / "two.jsonl", "--seed", "3")
    assert one == two
    other, _ = tuned(tmp_path / "other.jsonl", "--seed", "4")
    assert other != one


def test_a_recorded_run_can_be_replayed(replayed, tmp_path, monkeypatch):
    """What a run measured, replayed from its log alone, leads the same seed to the same candidates."""
    from records.jsonl import JsonlStore

    log = tmp_path / "one.jsonl"
    one, _ = tuned(log, "--seed", "3")
    with JsonlStore(log, read_only=True) as store:
        summaries = store.view().summaries
        recorded = {}
        for summary, record in zip(summaries, store.load(summaries), strict=True):
            recorded.setdefault(summary.key, {})[json.dumps(record.plan, sort_keys=True)] = record

    def from_log(task, plan):
        record = recorded[task.key][json.dumps(plan, sort_keys=True)]
        return record.timing.median_seconds

    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: ReplayMeasurer({}, estimate=from_log))
    again, _ = tuned(tmp_path / "two.jsonl", "--seed", "3")
    assert again == one


@pytest.mark.slow
def test_nothing_depends_on_the_process(tmp_path):
    """Orders of sets and dictionaries of strings differ between processes; results must not."""
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "import tuner.api; from tuner.measure.replay import ReplayMeasurer\n"
        "from tests.session.test_determinism import seconds_of, tuned\n"
        "tuner.api.measurer_of = lambda *_: ReplayMeasurer({}, estimate=seconds_of)\n"
        "tuned(pathlib.Path(sys.argv[1]), '--seed', '3')\n"
    )
    logs = []
    for seed in ("1", "2"):
        log = tmp_path / f"{seed}.jsonl"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [sys.executable, "-c", script, str(log), str(ROOT)],
            check=True,
            capture_output=True,
            env=environment,
            cwd=tmp_path,
        )
        records = [json.loads(line) for line in log.read_text().splitlines()]
        logs.append([(r["kind"], r["plan"], r["timing"]) for r in records if r["type"] == "record"])
    assert logs[0] == logs[1]
