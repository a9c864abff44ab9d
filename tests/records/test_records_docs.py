"""The examples of docs/records.md run, and its claims about files hold."""

import re
from pathlib import Path

import pytest
from record_samples import header, program, record

from records.jsonl import JsonlStore
from records.schema import TuningRecord

pytestmark = pytest.mark.pure

PAGE = Path(__file__).parents[2] / "docs" / "records.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, first in (("run.jsonl", 0), ("other.jsonl", 10)):
        with JsonlStore(name) as store:
            store.append([header(), program(), *(record(first + i, 0.1 + i) for i in range(3))])
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), {})
    assert "gmm:1,8,8,8" in capsys.readouterr().out
    assert Path("small.jsonl").exists()


def test_every_field_of_a_record_is_documented():
    text = PAGE.read_text()
    assert [name for name in TuningRecord.__struct_fields__ if f"`{name}`" not in text] == []


def test_files_that_are_named_exist():
    root = PAGE.parents[1]
    names = re.findall(r"`((?:records|tests)/[\w/.]+)`", PAGE.read_text())
    assert len(names) > 5
    assert [name for name in names if not (root / name).exists()] == []
