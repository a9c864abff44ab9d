"""Commands are run here as the tests of the command line run them."""

import pytest
from command_line import Done


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
    """Run a command that must end with one clear line."""

    def call(*words, code=2):
        done = tirtune(*words)
        lines = done.err.strip().splitlines()
        assert done.code == code and lines[-1].startswith("tirtune: ") and "Traceback" not in done.err, done
        return lines[-1]

    return call
