"""Every command on a small real log: what it prints for people and for programs."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from command_line import ROOT, SMALL

from tests.assets.models.small import MODELS

pytestmark = pytest.mark.tvm

CONTRACT = {"workload", "trials", "failed", "baseline_seconds", "best_seconds", "best_gflops"}


def test_tune_prints_one_object_with_the_keys_of_the_contract(tuned):
    log, values, err = tuned
    assert values["log"] == "run.jsonl" and log.exists()
    assert [task["workload"] for task in values["tasks"]] == SMALL
    for task in values["tasks"]:
        assert {"workload", "trials", "failed", "baseline_seconds", "best_seconds", "best_gflops"} <= set(
            task
        )
        assert task["trials"] == 6
        assert task["best_seconds"] > 0 and task["best_gflops"] > 0 and task["baseline_seconds"] > 0
    assert {"total", "search", "open", "build", "run"} <= set(values["seconds"])
    parts = sum(values["seconds"][name] for name in ("search", "open", "build", "run"))
    assert 0 < parts <= values["seconds"]["total"]
    assert values["measured"] == 12
    assert all(values["stages"][name] > 0 for name in ("generate", "lower", "llvm", "load", "timing"))
    assert "Time: opening tasks" in err and "trials a second" in err
    assert "speed-up" in err and "all 12 trials are spent" in err


def test_the_same_command_again_has_nothing_left_to_do(tuned, tirtune):
    log, before, _ = tuned
    size = len(log.read_bytes().splitlines())
    done = tirtune("tune", *SMALL, "--trials", 12, "--log", log, "--json")
    assert done.code == 0
    assert [t["trials"] for t in done.json["tasks"]] == [6, 6]
    assert [t["best_seconds"] for t in done.json["tasks"]] == [
        pytest.approx(t["best_seconds"], rel=0.5) for t in before["tasks"]
    ]
    assert len(log.read_bytes().splitlines()) <= size + 1, "only a session header may be added"


def test_compile_run_and_coverage(tuned, tirtune, tmp_path):
    log, _, _ = tuned
    done = tirtune("compile", "gmm:1,32,32,32", "--records", log, "-o", "m.so", "--json")
    assert done.code == 0 and (tmp_path / "m.so").exists()
    assert done.json["counts"] == {"tuned": 1, "predicted": 0, "default": 0}
    assert done.json["coverage"][0]["workload"] == "gmm:1,32,32,32"
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((1, 32, 32)).astype("float32") for _ in range(2))
    np.savez("in.npz", left=left, right=right)
    done = tirtune("run", "m.so", "--inputs", "in.npz", "-o", "out.npz", "--json")
    assert done.code == 0
    (output,) = done.json["outputs"]
    np.testing.assert_allclose(np.load("out.npz")[output["name"]], left @ right, rtol=1e-4, atol=1e-4)
    timed = tirtune("run", "m.so", "--benchmark", "--repeats", 5, "--json")
    assert timed.code == 0 and len(timed.json["seconds"]["runs"]) == 5
    assert timed.json["seconds"]["minimum"] <= timed.json["seconds"]["median"]


def test_compile_says_why_a_task_is_not_tuned(tuned, tirtune):
    log, _, _ = tuned
    done = tirtune("compile", "gmm:1,16,8,4", "-r", log)
    assert done.code == 0
    assert "0 tuned, 1 predicted" in done.out and "no record" in done.out
    assert tirtune("compile", "gmm:1,16,8,4", "-r", log, "--strict").code == 1
    assert tirtune("compile", "gmm:1,16,8,4", "--no-predict", "--json").json["counts"]["default"] == 1


def test_plan(tuned, tirtune):
    log, _, _ = tuned
    done = tirtune("plan", "gmm:1,32,32,32", "gmm:1,64,64,64", "-r", log, "--json")
    assert [t["source"] for t in done.json["tasks"]] == ["tuned", "predicted"]
    assert sum(t["share"] for t in done.json["tasks"]) == pytest.approx(1.0)
    assert done.json["trials_to_tune_the_rest"] == 64
    assert "Tuning the rest" in tirtune("plan", "gmm:1,64,64,64").out


def test_explain(tuned, tirtune):
    log, _, _ = tuned
    done = tirtune("explain", log, "--workload", "gmm", "--json")
    (task,) = done.json["tasks"]
    assert task["trials"] == 6 and sum(s["trials"] for s in task["sketches"].values()) == 6
    assert task["sketch"] == "default" or any("loop" in step for step in task["steps"])
    text = tirtune("explain", log).out
    assert all(name in text for name in SMALL) and "failed:" in text
    assert tirtune("explain", log, "--workload", "nothing").code == 2


def test_report_is_one_self_contained_page(tuned, tirtune, tmp_path):
    log, _, _ = tuned
    assert tirtune("report", log, "-o", "r.html").code == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("<svg") == 2 and all(name in page for name in SMALL)
    assert "best so far" in page and "<script" not in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    for ending in ("svg", "png"):
        assert tirtune("report", log, "-o", f"r.{ending}").code == 0
        assert (tmp_path / f"r.{ending}").stat().st_size > 1000
    assert tirtune("report", log, "-o", "r.txt").code == 2


def test_records_best_show_stats(tuned, tirtune):
    log, values, _ = tuned
    best = tirtune("records", "best", log, "--limit", 2, "--json").json["best"]
    assert {row["workload"] for row in best} == set(SMALL)
    shown = tirtune("records", "show", log, best[0]["plan_key"], "--json").json["records"]
    assert shown and all(row["plan_key"] == best[0]["plan_key"] for row in shown)
    stats = tirtune("records", "stats", log, "--json").json["logs"][0]
    assert stats["kinds"]["trial"] == 12
    assert sum(task["trials"] for task in stats["tasks"]) == sum(t["trials"] for t in values["tasks"])
    for command in ("best", "stats"):
        assert all(name in tirtune("records", command, log).out for name in SMALL)
    kinds = [json.loads(line)["type"] for line in log.read_text().splitlines()]
    line = kinds.index("record") + 1
    assert '"plan_key"' in tirtune("records", "show", log, f"#{line}").out
    assert tirtune("records", "show", log, "sketch:zz").code == 2


def test_records_merge_prune_verify(tuned, tirtune, tmp_path):
    log, _, _ = tuned
    first = tirtune("records", "merge", log, "-o", "all.jsonl", "--json").json
    again = tirtune("records", "merge", log, "all.jsonl", "-o", "all2.jsonl", "--json").json
    assert first["added"] == again["added"] > 0 and again["duplicates"] == first["added"]
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "all2.jsonl").read_bytes()
    pruned = tirtune("records", "prune", "all.jsonl", "-o", "best.jsonl", "--keep", 1, "--json").json
    assert 0 < pruned["kept"] < pruned["read"]
    assert tirtune("records", "verify", "best.jsonl", "--json").json["is_sound"]
    assert tirtune("records", "merge", log, "-o", log).code == 2
    assert tirtune("records", "prune", log, "-o", log).code == 2


def test_verify_finds_damage(tuned, tirtune, tmp_path):
    log, _, _ = tuned
    lines = log.read_bytes().splitlines(keepends=True)
    (tmp_path / "torn.jsonl").write_bytes(b"".join([*lines[:4], b'{"type":"rec\n', *lines[4:]]))
    done = tirtune("records", "verify", "torn.jsonl")
    assert done.code == 1 and "torn.jsonl:5" in done.err
    assert tirtune("records", "best", "torn.jsonl").code == 0


def test_revalidate_writes_what_survives(tuned, tirtune):
    log, _, _ = tuned
    done = tirtune("records", "verify", log, "--revalidate", "--top", 1, "-o", "here.jsonl", "--json")
    rows = done.json["revalidated"]
    assert done.code == 0 and rows
    assert all(row["failure"] is None and row["ratio"] > 0 for row in rows)
    assert tirtune("records", "stats", "here.jsonl", "--json").json["logs"][0]["kinds"] == {
        "confirmation": len(rows)
    }


def test_export_and_import(tuned, tirtune, tmp_path):
    log, _, _ = tuned
    assert tirtune("records", "export", log, "-o", "t.csv").code == 0
    assert len((tmp_path / "t.csv").read_text().splitlines()) > 12
    out = tirtune("records", "export", log, "-o", "database", "--limit", 1, "--json").json
    assert out["format"] == "metaschedule" and out["records"] >= 1
    back = tirtune("records", "import", "database", "-o", "back.jsonl", "--json").json
    assert back["records"] == out["records"]
    assert back["added"] == out["records"] and back["duplicates"] == 0
    again = tirtune("records", "import", "database", "-o", "back.jsonl", "--json").json
    assert again["added"] == 0 and again["duplicates"] == out["records"]


def test_import_says_what_it_is_for(tuned, refused, tmp_path):
    log, _, _ = tuned
    assert "no such file" in refused("records", "import", "nowhere", "-o", "b.jsonl")
    assert "tirtune records merge" in refused("records", "import", log, "-o", "sqlite:///b.db")
    assert "tirtune records merge" in refused("records", "import", "runs.db", "-o", "b.jsonl")
    (tmp_path / "folder").mkdir()
    assert "no MetaSchedule database" in refused("records", "import", "folder", "-o", "b.jsonl")
    assert "name the file" in refused("records", "import", "folder", "-o", "b.jsonl", "--format", "ansor")
    assert "--threads is for Ansor" in refused("records", "import", "folder", "-o", "b.jsonl", "--threads", 2)
    (tmp_path / "folder" / "database_tuning_record.json").write_text("")
    line = refused("records", "import", "folder/database_tuning_record.json", "-o", "b.jsonl")
    assert "name its folder folder" in line
    assert not (tmp_path / "b.jsonl").exists() and not (tmp_path / "b.db").exists()


def test_doctor(tirtune):
    done = tirtune("doctor", "--no-speed", "--json")
    assert done.code == 0 and done.json["is_fit"]
    assert {"Python", "TVM", "CPU", "memory", "log", "caches"} <= set(done.json["checks"])
    assert tirtune("doctor", "--no-speed", "--log", "/no/such/folder/run.jsonl").code == 1


def test_doctor_measures_the_peak(start, tmp_path):
    process = start("doctor", "--json", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["checks"]["peak"]["data"] > 1.0


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["tune", "--help"],
        ["records", "--help"],
        ["records", "best", "run.jsonl"],
        ["records", "stats", "run.jsonl", "--json"],
        ["records", "show", "run.jsonl", "gmm:1,32,32,32"],
        ["records", "merge", "run.jsonl", "-o", "all.jsonl"],
        ["records", "prune", "run.jsonl", "-o", "best.jsonl"],
        ["records", "verify", "run.jsonl"],
        ["records", "export", "run.jsonl", "-o", "t.csv"],
        ["report", "run.jsonl", "-o", "r.html"],
        ["explain", "run.jsonl"],
    ],
    ids=" ".join,
)
def test_logs_need_no_compiler(words, tuned, tmp_path):
    shutil.copy(tuned[0], tmp_path / "run.jsonl")
    code = (
        "import sys\n"
        "sys.modules['tvm'] = sys.modules['tvm_ffi'] = sys.modules['xgboost'] = None\n"
        "from tuner.cli.main import run\n"
        f"sys.exit(run({words!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_bench_prints_one_object_with_the_keys_of_the_contract(tuned, tirtune):
    log, _, _ = tuned
    words = ["gmm:1,32,32,32", "--records", log, "--against", "onnxruntime", "--rounds", 2, "--json"]
    done = tirtune("bench", *words)
    assert done.code == 0, done.err
    (result,) = done.json["results"]
    assert set(result) >= {"workload", "seconds", "tuning_seconds", "trials"}
    assert result["seconds"]["tirtune"] > 0 and result["seconds"]["onnxruntime"] > 0, result["reasons"]
    assert result["trials"]["tirtune"] == 6
    assert {"cpu", "threads", "versions"} <= set(done.json["machine"])


def test_bench_of_a_model(tirtune, tmp_path):
    onnx.save(MODELS["audio_cnn"](), tmp_path / "audio.onnx")
    done = tirtune("bench", "audio.onnx", "--rounds", 1, "--json")
    assert done.code == 0, done.err
    (result,) = done.json["results"]
    assert result["seconds"]["tirtune"] > 0 and result["seconds"]["onnxruntime"] > 0
    assert sum(result["coverage"].values()) > 0


def test_bench_refuses_unknown_frameworks(tirtune):
    done = tirtune("bench", "gmm:1,8,8,8", "--against", "abacus")
    assert done.code == 2 and "abacus" in done.err and "openvino" in done.err
