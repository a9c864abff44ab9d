"""What is built for users holds the weights, and they load from there."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

TREE = Path(__file__).parents[1]
PACKAGES = ("tuner", "search_space", "cost_models", "records")
LOAD = """
import json
from pathlib import Path
import cost_models
from cost_models.pretrained import CARD_FILE, WEIGHTS_DIRECTORY, load_pretrained
from search_space.hardware import Hardware
assert Path(cost_models.__file__).is_relative_to(Path.cwd()), cost_models.__file__
(machine,) = json.loads((WEIGHTS_DIRECTORY / CARD_FILE).read_text())["hardware"]
loaded = load_pretrained(Hardware(**{**machine, "instruction_sets": tuple(machine["instruction_sets"])}))
assert loaded.residual is not None, loaded.reason
print(loaded.reason)
"""


def test_weights_load_from_an_installed_wheel(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in PACKAGES:
        shutil.copytree(TREE / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TREE / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 8 << 20
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    found = subprocess.run([sys.executable, "-c", LOAD], cwd=installed, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("pre-trained on ")
