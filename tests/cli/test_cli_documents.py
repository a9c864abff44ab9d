"""Every command and every example of the documents runs, every link leads somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import onnx
import pytest
from command_line import ROOT
from write_operators import PAGE, page

from tests.assets.models.small import MODELS

pytestmark = pytest.mark.tvm

DOCUMENTS = sorted(p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def smaller(text):
    """The same with a budget that a test can afford."""
    text = re.sub(r"--trials \d+", "--trials 8", text)
    return re.sub(r"trials=\d+", "trials=8", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Commands and examples share a folder, as a reader's do."""
    path = tmp_path_factory.mktemp("reader")
    onnx.save(MODELS["audio_cnn"](), path / "model.onnx")
    return path


def commands():
    text = "\n".join(blocks(ROOT / "README.md", "sh"))
    return [line for line in text.splitlines() if line.startswith("tirtune ")]


def test_readme_has_commands_and_examples():
    assert len(commands()) >= 8 and blocks(ROOT / "README.md", "python")


def test_readme_opens_with_the_two_make_commands():
    first = blocks(ROOT / "README.md", "sh")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make tune", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert "\ntune:" in makefile and "\ntest:" in makefile


@pytest.mark.parametrize("command", commands())
def test_readme_commands_run(command, tirtune, folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = tirtune(*shlex.split(smaller(command), comments=True)[1:])
    assert done.code == 0, done.err


def test_readme_example_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for number, block in enumerate(blocks(ROOT / "README.md", "python")):
        exec(compile(smaller(block), f"README.md block {number}", "exec"), {"__name__": "example"})


def test_examples_of_the_records_page_run(tuned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run.jsonl", "other.jsonl"):
        shutil.copy(tuned[0], name)
    for number, block in enumerate(blocks(ROOT / "docs" / "records.md", "python")):
        exec(compile(block, f"docs/records.md block {number}", "exec"), {"__name__": "example"})


def test_the_page_on_measurement_names_every_part_of_the_time(tuned):
    text = (ROOT / "docs" / "measurement.md").read_text()
    parts = [*tuned[1]["seconds"], *tuned[1]["stages"]]
    assert len(parts) > 8
    assert [name for name in parts if f"`{name}`" not in text] == []


def test_readme_lists_every_command():
    from tuner.cli.main import COMMANDS
    from tuner.cli.records.group import COMMANDS as RECORDS

    text = (ROOT / "README.md").read_text()
    assert all(f"| `{name}" in text for name in COMMANDS)
    listed = re.search(r"`records ([a-z\\|]+)`", text)
    assert listed and listed[1].replace("\\", "").split("|") == list(RECORDS)


def test_the_page_of_operators_is_up_to_date():
    assert PAGE.read_text() == page(), "run python tests/cli/write_operators.py"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_files_exist(document):
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    named = re.findall(r"`((?:tuner|search_space|cost_models|records|tests|scripts|docs)/[\w./-]*)`", text)
    made = "cost_models/weights/"  # by training
    missing += [name for name in named if not (ROOT / name).exists() and not name.startswith(made)]
    assert not missing


def test_architecture_names_files_that_exist():
    text = "".join(re.findall(r"^```\n(.*?)^```$", (ROOT / "ARCHITECTURE.md").read_text(), re.M | re.S))
    named = re.findall(r"((?:tuner|search_space|cost_models|records)/[\w./]*\w\.py)", text)
    assert len(named) >= 10
    assert not [name for name in named if not Path(ROOT, name).exists()]
