"""Whole models against ONNX Runtime, in turns: ours in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from search_space.error_text import first_line
from tuner.bench.operators import BenchOptions
from tuner.compiled_model import random_input
from tuner.errors import JobFailed, UserError

_RUNS_A_ROUND = 10


def bench_model(path: str, shapes: Mapping[str, Sequence[int]], options: BenchOptions) -> dict[str, Any]:
    """Compare one model file.

    Args:
        path: The model.
        shapes: Shapes for the inputs that it leaves open.
        options: ``records`` are used for ours; of ``against`` only ``onnxruntime`` runs models.

    Returns:
        As :func:`tuner.bench.operators.bench_operator`; tuning is not part of it.

    Raises:
        UserError: If the model cannot be read, or tuning is asked for.
        JobFailed: If ours does not run.
    """
    from tuner import api

    if options.trials is not None and options.records is None:
        raise UserError(f"bench tunes operators only: tune {path} --log LOG first, then give --records LOG")
    compiled = api.compile(path, None, options.records, threads=options.threads, input_shapes=shapes)
    reasons: dict[str, str] = {}
    turns: dict[str, list[float]] = {"tirtune": []}
    session = None
    if "onnxruntime" in options.against:
        session, reason = _session(path, options.threads)
        if session is None:
            reasons["onnxruntime"] = reason
        else:
            turns["onnxruntime"] = []
    for side in options.against:
        if side != "onnxruntime":
            reasons[side] = "does not run model files here"
    random = np.random.default_rng(options.seed)
    inputs = {tensor.name: random_input(tensor, random) for tensor in compiled.inputs}
    with tempfile.TemporaryDirectory() as folder:
        library = compiled.save(Path(folder) / "model.so")
        for _ in range(max(1, options.rounds // 5)):
            turns["tirtune"].append(_time_ours(library))
            if session is not None:
                turns["onnxruntime"].append(_time_session(session, inputs))
    times: dict[str, float | None] = {side: median(values) for side, values in turns.items()}
    return {
        "workload": path,
        "seconds": dict.fromkeys(("tirtune", *options.against)) | times,
        "tuning_seconds": {},
        "trials": {},
        "reasons": reasons,
        "coverage": {
            source: sum(entry.source == source for entry in compiled.coverage)
            for source in ("tuned", "predicted", "default")
        },
    }


def _time_ours(library: Path) -> float:
    words = ["run", str(library), "--benchmark", "--repeats", str(_RUNS_A_ROUND), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    if done.returncode:
        raise JobFailed(f"the compiled model does not run: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout)["seconds"]["median"])


def _session(path: str, threads: int) -> tuple[Any, str]:
    try:
        import onnxruntime
    except ImportError as error:
        return None, f"{error}: install tirtune[bench]"
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"]), ""
    except Exception as error:  # the runtime's own types
        return None, first_line(error)


def _time_session(session: Any, inputs: Mapping[str, Any]) -> float:
    names = [value.name for value in session.get_inputs()]
    feeds = dict(zip(names, inputs.values(), strict=True))
    for _ in range(3):
        session.run(None, feeds)
    runs = []
    for _ in range(_RUNS_A_ROUND):
        start = time.perf_counter()
        session.run(None, feeds)
        runs.append(time.perf_counter() - start)
    return median(runs)
