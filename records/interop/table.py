"""Records as a table for analysis: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from records.errors import StoreError
from records.summary import Summary

COLUMNS: dict[str, type] = {
    "number": int,
    "kind": str,
    "workload": str,
    "key": str,
    "target": str,
    "threads": int,
    "cpu": str,
    "isa": str,
    "gpu": str,
    "host": str,
    "tvm": str,
    "llvm": str,
    "plan_key": str,
    "median_seconds": float,
    "gflops": float,
    "stage": str,
    "ok": bool,
    "has_trace": bool,
    "session": str,
    "round": int,
    "trial": int,
    "time_unix": float,
    "search_seconds": float,
    "build_seconds": float,
    "run_seconds": float,
}
"""Columns and their types; empty where a value is absent."""


def table_rows(summaries: Iterable[Summary]) -> Iterable[dict[str, Any]]:
    """Yield one row a record, with the keys of :data:`COLUMNS`."""
    for s in summaries:
        there = s.environment
        yield {
            "number": s.number,
            "kind": s.kind,
            "workload": s.name,
            "key": s.key,
            "target": s.target,
            "threads": there.threads,
            "cpu": there.cpu,
            "isa": there.isa,
            "gpu": there.gpu,
            "host": there.host,
            "tvm": there.tvm,
            "llvm": there.llvm,
            "plan_key": s.plan_key,
            "median_seconds": s.median_seconds,
            "gflops": None if s.median_seconds is None else s.flops / s.median_seconds / 1e9,
            "stage": s.stage,
            "ok": s.ok,
            "has_trace": s.has_trace,
            "session": s.session,
            "round": s.round,
            "trial": s.trial,
            "time_unix": s.time_unix,
            "search_seconds": s.search_seconds,
            "build_seconds": s.build_seconds,
            "run_seconds": s.run_seconds,
        }


def write_table(summaries: Iterable[Summary], path: Path) -> int:
    """Write a table; the ending of the name chooses ``.csv`` or ``.parquet``.

    Args:
        summaries: The records.
        path: The file to write; an existing one is replaced.

    Returns:
        Rows written.

    Raises:
        StoreError: If the ending is another, pyarrow is missing, or the file cannot be written.
    """
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise StoreError(f"cannot write a table to {path}: name a file that ends in .csv or .parquet")
    try:
        return writers[path.suffix](table_rows(summaries), path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; choose another file") from error


def _write_csv(rows: Iterable[dict[str, Any]], path: Path) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def _write_parquet(rows: Iterable[dict[str, Any]], path: Path) -> int:
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise StoreError(
            f"cannot write {path}: Parquet needs pyarrow (pip install pyarrow); or name a .csv file"
        ) from error
    types = {int: pyarrow.int64(), str: pyarrow.string(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    table = pyarrow.Table.from_pylist(list(rows), schema=schema)
    parquet.write_table(table, path)
    return int(table.num_rows)
