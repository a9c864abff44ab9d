"""MetaSchedule on a GPU for a given wall time: ``python -m scripts.bench.devices.metaschedule TEXT ...``."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click

BATCH = 16
"""Trials between two looks at the clock; its default of 64 would overrun a short budget."""


_LIMITS = {
    "max_threads_per_block": 1024,
    "max_shared_memory_per_block": 49152,
    "thread_warp_size": 32,
    "registers_per_block": 65536,
}
"""What its rules ask of a target, as TVM's own target tags give it."""


@click.command()
@click.argument("text")
@click.option("--target", required=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--seconds", type=float, required=True)
@click.option("--seed", type=int, default=0)
def main(text: str, target: str, folder: Path, seconds: float, seed: int) -> None:
    """Tune one operator until the time is up and leave its database in a folder."""
    if not _has_bindings():
        os.environ.setdefault("TVM_CUDA_COMPILE_MODE", "nvcc")
    from search_space.tvm_api import tvm
    from tuner.workloads import named_workload

    schedule = tvm.s_tir.meta_schedule
    import_module("tvm.s_tir.tensor_intrin")
    began = time.monotonic()

    @tvm.ir.utils.derived_object
    class Deadline(schedule.measure_callback.PyMeasureCallback):  # type: ignore[name-defined,misc]
        """Ends the process between two batches: there is no time budget."""

        def apply(self, scheduler: Any, task: int, candidates: Any, builds: Any, runs: Any) -> None:
            """Look at the clock after a batch is in the database."""
            if time.monotonic() - began >= seconds:
                os._exit(0)

    function = named_workload(text).func.with_attr("global_symbol", "main")
    rules = "cuda-tensorcore" if "dtype=float16" in text else "from-target"
    space = schedule.space_generator.PostOrderApply(sch_rules=rules, postprocs=rules, mutator_probs=rules)
    callbacks = [*schedule.measure_callback.MeasureCallback.create("default"), Deadline()]
    schedule.tune_tir(
        function,
        tvm.target.Target({**_LIMITS, **json.loads(target)}),
        str(folder),
        max_trials_global=100_000,
        num_trials_per_iter=BATCH,
        space=space,
        measure_callbacks=callbacks,
        seed=seed,
    )


def _has_bindings() -> bool:
    """Report whether NVIDIA's Python bindings are here, through which TVM calls NVRTC."""
    return importlib.util.find_spec("cuda") is not None and (
        importlib.util.find_spec("cuda.bindings") is not None
    )


def best(folder: Path, text: str, target: Any) -> tuple[Any, int]:
    """Return the fastest schedule of a database as a built module, and the number of trials.

    Args:
        folder: What :func:`main` left.
        text: The workload.
        target: The target.

    Returns:
        The kernel, absent where nothing worked, and the trials.
    """
    from search_space.tvm_api import tvm
    from tuner.workloads import named_workload

    records = folder / "database_tuning_record.json"
    trials = sum(1 for _ in records.open()) if records.exists() else 0
    if not trials:
        return None, 0
    schedule = tvm.s_tir.meta_schedule
    database = schedule.database.JSONDatabase(
        str(folder / "database_workload.json"), str(records), allow_missing=False
    )
    function = named_workload(text).func.with_attr("global_symbol", "main")
    found = schedule.tir_integration.compile_tir(database, function, target)
    return (None if found is None else tvm.compile(found.mod, target)["main"]), trials


if __name__ == "__main__":
    main()
