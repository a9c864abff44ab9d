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


def test_every_case_holds_on_an_emulated_device(emulator):
    cases = ROOT / "tests" / "cuda" / "device_cases.py"
    options = ["--noconftest", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(cases), *options],
        env=emulator,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:]
