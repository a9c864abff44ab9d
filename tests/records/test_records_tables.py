"""Tables for analysis."""

import csv

import pytest
import record_samples as samples

from records.errors import StoreError
from records.interop.table import COLUMNS, write_table
from records.memory import MemoryStore

pytestmark = pytest.mark.pure


def test_tables(tmp_path, monkeypatch):
    with MemoryStore() as store:
        store.append([samples.record(0, 0.5), samples.record(1, None)])
        summaries = store.view().summaries
    assert write_table(summaries, tmp_path / "t.csv") == 2
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[0]["median_seconds"], rows[1]["median_seconds"], rows[1]["stage"]) == ("0.5", "", "build")
    with pytest.raises(StoreError, match=r"\.csv or \.parquet"):
        write_table(summaries, tmp_path / "t.xlsx")
    with pytest.raises(StoreError, match="choose another file"):
        write_table(summaries, tmp_path / "none" / "t.csv")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(StoreError, match="pip install pyarrow"):
        write_table(summaries, tmp_path / "t.parquet")


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is optional: pip install pyarrow")
    with MemoryStore() as store:
        store.append([samples.record(0, 0.5), samples.record(1, None)])
        assert write_table(store.view().summaries, tmp_path / "t.parquet") == 2
    table = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["median_seconds"] for row in table] == [0.5, None]
