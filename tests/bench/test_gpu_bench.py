"""The benchmark of GPUs: its division of time, its table, and what it says without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench.devices.final import Sides
from scripts.bench.devices.problems import FLOAT16, FLOAT32, PROBLEMS
from scripts.bench.gpu import Judge, Plan, sides, table, tuning_seconds
from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import IRModule, tvm
from tuner.workloads import named_workload

ROOT = Path(__file__).parents[2]

RESULT = {
    "workload": "gmm:1,64,64,64",
    "flops": 4e9,
    "trials": 9,
    "metaschedule_trials": 7,
    "seconds": {
        "torch matmul": 3e-3,
        "torch mm": 2e-3,
        "compiled mm": 1e-3,
        "tirtune": 1e-3,
        "metaschedule": 4e-3,
    },
}


@pytest.mark.pure
def test_the_fastest_way_of_a_side_counts():
    assert sides(RESULT) == {"torch": 2e-3, "torch.compile": 1e-3, "tirtune": 1e-3, "metaschedule": 4e-3}


@pytest.mark.pure
def test_the_table_has_ratios_and_their_means_and_says_what_failed():
    text = table([RESULT, {"workload": "sfm:8,8", "error": "no kernel"}])
    assert "| gmm:1,64,64,64 | 1 | 4 | 2.00x (2) | 1.00x (1) | 4.00x (4) | 9 / 7 |" in text
    assert "sfm:8,8 | failed: no kernel" in text
    assert "geometric mean against torch: 2.00x" in text and "against metaschedule: 4.00x" in text


@pytest.mark.pure
def test_both_tuners_share_what_is_left_after_the_last_measurement():
    assert tuning_seconds(480.0, 12) == pytest.approx((480 / 12 - 10) / 2)
    assert tuning_seconds(20.0, 4) == 4.0, "a share that is too short is rounded up while there is time"
    assert tuning_seconds(12.0, 1) == 1.0, "too little for another operator"


@pytest.mark.pure
def test_steps_leave_time_to_those_that_follow(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    plan = Plan("gmm:1,64,64,64", "cuda", Path(), 130.0, 0)
    assert plan.within(15.0, 10.0) == 15.0
    assert plan.within(50.0, 10.0) == 20.0
    assert plan.within(50.0, 40.0) == 1.0, "late: it is stopped almost at once"


@pytest.mark.tvm
def test_every_problem_is_a_workload_and_is_compared_once():
    assert sorted(PROBLEMS) == sorted((*FLOAT32, *FLOAT16))
    for text in PROBLEMS:
        assert named_workload(text).name == text


@pytest.mark.tvm
@pytest.mark.parametrize(
    "text",
    [
        "gmm:1,16,24,32",
        "gmm:1,16,16,16,dtype=float16",
        "c2d:1,6,6,8,16,3,1,1",
        "dep:1,8,8,16,3,1,1",
        "t2d:1,4,4,8,8,4,2,1",
        "sfm:4,8",
        "nrm:2,8,8",
    ],
)
def test_pytorch_computes_what_the_workload_computes(text):
    pytest.importorskip("torch")
    workload = named_workload(text)
    compared = Sides(text, workload, "cpu")
    module = IRModule({"main": workload.func.with_attr("global_symbol", "main")})
    compared.attempt("tirtune", lambda: (tvm.compile(module, target="llvm")["main"], "default"))
    compared.attempt("metaschedule", lambda: (None, 3))
    assert not compared.broken and compared.notes == {"tirtune": "default", "metaschedule": 3}
    assert compared.errors["tirtune"] < (1e-2 if "float16" in text else 1e-5)
    for call in compared.calls.values():
        call()


@pytest.mark.tvm
def test_a_side_that_fails_leaves_the_others():
    pytest.importorskip("torch")

    def fail():
        raise RuntimeError("no kernel")

    compared = Sides("sfm:4,8", named_workload("sfm:4,8"), "cpu")
    compared.attempt("tirtune", fail)
    assert compared.broken == {"tirtune": "RuntimeError: no kernel"}
    assert list(compared.calls) == ["torch softmax"]


@pytest.mark.tvm
@pytest.mark.slow
def test_the_judge_answers_every_question_in_time(tmp_path):
    judge = Judge(target_text(resolve_target("cuda -arch=sm_90")), compiled=False)
    question = {"text": "gmm:1,16,16,16", "log": str(tmp_path / "run.jsonl"), "folder": str(tmp_path)}
    try:
        assert "error" in judge.ask(question, 0.01), "it is still starting"
        answer = judge.ask(question, 300.0)
        assert answer.get("workload") == question["text"], answer
        assert {"error", "seconds"} & set(answer)
    finally:
        judge.close()


@pytest.mark.tvm
def test_without_a_gpu_it_says_so_in_one_line():
    done = subprocess.run(
        [sys.executable, "scripts/bench/gpu.py", "--minutes", "1"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        pytest.fail("a device answered although none is visible")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "driver" in done.stderr or "device" in done.stderr
