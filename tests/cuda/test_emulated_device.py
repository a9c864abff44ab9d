"""Measuring on a GPU that is emulated on the CPU: TVM's CUDA runtime and all of ours, without a device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_emulator import build_emulator

pytestmark = pytest.mark.tvm

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """The environment of a process that finds an emulated GPU; TVM must not be loaded yet there."""
    folder = tmp_path_factory.mktemp("cuda")
    libraries = build_emulator(folder)
    return os.environ | {
        "CUDA_PATH": str(folder),
        "LD_LIBRARY_PATH": str(libraries),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }


def run_cases(emulator, name, *options):
    """Run a file of cases where the emulated device is found."""
    words = ["--noconftest", "--no-header", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(ROOT / "tests" / "cuda" / name), *words],
        env=emulator,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-6000:]


def test_every_case_holds_on_an_emulated_device(emulator):
    run_cases(emulator, "device_cases.py")


def test_a_product_on_an_emulated_tensor_core_is_right(emulator):
    run_cases(emulator, "product_cases.py", "-k", "half and sums")


@pytest.mark.slow
def test_every_product_on_an_emulated_tensor_core_is_right(emulator):
    run_cases(emulator, "product_cases.py")
