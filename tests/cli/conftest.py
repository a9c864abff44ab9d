import json

import pytest
from command_line import SMALL, Done, spawn


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
