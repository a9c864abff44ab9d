"""The benchmark of GPUs: its division of time, its table, and what it says without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench.devices.problems import FLOAT16, FLOAT32
from scripts.bench.gpu import sides, table, tuning_seconds
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
    assert tuning_seconds(480.0, 12) == pytest.approx((480 / 12 - 14) / 2)
    assert tuning_seconds(0.0, 1) == 4.0, "nobody is left without any time"


@pytest.mark.tvm
@pytest.mark.parametrize("text", [*FLOAT32, *FLOAT16])
def test_every_problem_is_a_workload(text):
    assert named_workload(text).name == text


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
