import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def bench(module, *words):
    command = [sys.executable, "-m", f"scripts.bench.{module}", *map(str, words)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


def test_operators_side_by_side(tmp_path):
    results = tmp_path / "results.json"
    words = ["--suite", "gmm:1,32,32,32", "--trials", 4, "--threads", 1, "--rounds", 3]
    words += ["--against", "metaschedule,onnxruntime", "--json", results]
    words += ["--databases", tmp_path / "databases", "--logs", tmp_path / "logs"]
    shown = bench("ops", *words)
    assert "gmm:1,32,32,32" in shown
    document = json.loads(results.read_text())
    (entry,) = document["results"]
    assert all(entry["seconds"][side] > 0 for side in ("tirtune", "metaschedule", "onnxruntime"))
    assert entry["trials"] == {"tirtune": 4, "metaschedule": 4}
    assert len(entry["runs"]["tirtune"][0]["curve"]) == 4
    assert document["machine"]["peak_flops"]["one_thread"] > 1e8
    database = next((tmp_path / "databases").glob("*/4/run.json"))
    stamp = database.stat().st_mtime_ns
    bench("ops", *words, "--reuse")
    assert database.stat().st_mtime_ns == stamp
    assert "geometric mean" in bench("compare", results, results)
    picture = tmp_path / "curves.svg"
    bench("curves", results, "--out", picture)
    assert "<svg" in picture.read_text()


def test_what_tune_reported_in_a_fresh_process(tmp_path):
    words = ["--suite", "gmm:1,32,32,32", "--trials", 4, "--threads", 1, "--logs", tmp_path]
    assert "median difference" in bench("agreement", *words)


def test_rates():
    assert "gmm:1,64,64,64" in bench("rates", "gmm:1,64,64,64", "--seconds", 0.2)
