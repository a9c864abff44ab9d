"""The same seed does the same, through the whole product, where times do not depend on the moment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.session.test_session import FakeMeasurer
from tuner.cli.main import run
from tuner.measure.replay import plan_key
from tuner.measure.replay_log import replay_of

pytestmark = pytest.mark.tvm

ROOT = Path(__file__).parents[2]
OPERATORS = ("gmm:1,32,48,64", "sfm:16,48")


def tuned(log: Path, seed: int, operators: tuple[str, ...] = OPERATORS) -> list[tuple[object, ...]]:
    """Tune on the command line; return what the log says without what is of the moment."""
    words = ["--trials", 40, "--batch", 8, "--threads", 2, "--seed", seed, "--log", log]
    assert run(["tune", *operators, *map(str, words)]) == 0
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        (r["kind"], r["round"], r["workload"]["name"], plan_key(r["plan"]), r["timing"], r["failure"])
        for r in records
        if r["type"] == "record"
    ]


def test_the_same_seed_leaves_the_same_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: FakeMeasurer())
    one, two, other = (tuned(tmp_path / f"{i}.jsonl", seed) for i, seed in enumerate((3, 3, 4)))
    assert len([r for r in one if r[0] == "trial"]) == 40
    assert one == two
    assert one != other


def test_a_run_is_replayed_from_its_log_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: FakeMeasurer())
    one = tuned(tmp_path / "one.jsonl", 5, OPERATORS[:1])
    monkeypatch.setattr("tuner.api.measurer_of", lambda *_: replay_of(tmp_path / "one.jsonl"))
    assert tuned(tmp_path / "two.jsonl", 5, OPERATORS[:1]) == one


@pytest.mark.slow
def test_nothing_depends_on_the_process(tmp_path: Path) -> None:
    """Sets of strings have another order in every process; results must not."""
    script = (
        "import pathlib, sys, tuner.api\n"
        "from tests.session.test_determinism import tuned\n"
        "from tests.session.test_session import FakeMeasurer\n"
        "tuner.api.measurer_of = lambda *_: FakeMeasurer()\n"
        "log, told = map(pathlib.Path, sys.argv[1:])\n"
        "told.write_text(repr(tuned(log, 3)))\n"
    )
    told = []
    for seed in "12":
        told.append(tmp_path / f"{seed}.txt")
        command = [sys.executable, "-c", script, tmp_path / f"{seed}.jsonl", told[-1]]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([str(word) for word in command], check=True, capture_output=True, env=environment)
    assert told[0].read_text() == told[1].read_text()
