import json

import pytest
from command_line import SMALL, refused, spawn, tirtune

__all__ = ["refused", "tirtune"]


@pytest.fixture
def start():
    started = []

    def call(*words, cwd, **kwargs):
        process = spawn(*words, cwd=cwd, **kwargs)
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def tuned(tmp_path_factory):
    """A log of two small tasks, and what `tirtune tune --json` printed."""
    folder = tmp_path_factory.mktemp("tuned")
    process = spawn("tune", *SMALL, "--trials", 12, "--batch", 6, "--log", "run.jsonl", "--json", cwd=folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder / "run.jsonl", json.loads(out), err
