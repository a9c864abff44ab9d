"""Running commands and reading what they print."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
