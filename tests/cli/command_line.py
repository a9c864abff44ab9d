"""Running commands and reading what they print."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["sfm:16,64", "gmm:1,32,32,32"]


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def spawn(*words, cwd, **kwargs):
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.cli.main", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@pytest.fixture
def tirtune(capfd, monkeypatch, tmp_path):
    """Run a command in this process, in a folder of its own."""
    from tuner.cli.main import run

    monkeypatch.chdir(tmp_path)

    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture
def refused(tirtune):
    """Run a command that must end with one clear line and exit code 2."""

    def call(*words, code=2):
        done = tirtune(*words)
        lines = done.err.strip().splitlines()
        assert done.code == code, done
        assert lines[-1].startswith("tirtune: ")
        assert "Traceback" not in done.err
        return lines[-1]

    return call
