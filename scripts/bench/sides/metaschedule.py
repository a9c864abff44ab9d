"""The kernels that MetaSchedule's database holds, built as its own builder builds them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from scripts.bench.problem import Array, Problem
from scripts.bench.sides.base import NoKernel, Variant
from scripts.bench.sides.kernel import trivial, variant_of
from search_space.hardware import resolve_target
from search_space.tvm_api import tvm
from tuner.workloads import named_workload

__all__ = ["load", "trivial"]


def load(problem: Problem, arrays: Mapping[str, Array], options: Mapping[str, Any]) -> list[Variant]:
    """Build the best kernel among the first records of a database.

    Args:
        problem: The operator.
        arrays: Its inputs.
        options: ``database``: the folder; ``trials``: how many of its records count; ``threads``.
    """
    meta_schedule = tvm.s_tir.meta_schedule
    target = resolve_target(None, options["threads"])
    folder = Path(options["database"])
    with tempfile.TemporaryDirectory() as scratch, (folder / "database_tuning_record.json").open() as lines:
        records = Path(scratch) / "records.json"
        records.write_text("".join(islice(lines, options["trials"])))
        workloads = Path(scratch) / "workloads.json"
        workloads.write_text((folder / "database_workload.json").read_text())
        database = meta_schedule.database.JSONDatabase(str(workloads), str(records), allow_missing=False)
        schedule = meta_schedule.tir_integration.compile_tir(
            database, named_workload(problem.text).func, target
        )
    if schedule is None:
        raise NoKernel("its database holds no valid record")
    build = meta_schedule.builder.local_builder.default_build
    return [variant_of("tuned", build(schedule.mod, target, None)["main"], problem, arrays)]
