"""ONNX Runtime, inputs and outputs bound beforehand."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from scripts.bench.sides.base import Variant
from scripts.bench.whole.sides import Feeds, Layer

_PROFILED_RUNS = 20


def load(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Variant]:
    """Prepare the model with every optimisation."""
    session = _session(model, _settings(options["threads"]))
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    binding.bind_output(session.get_outputs()[0].name)
    return [
        Variant(
            "level all",
            partial(session.run_with_iobinding, binding),
            lambda: np.array(binding.get_outputs()[0].numpy()),
        )
    ]


def reference(model: str, feeds: Feeds) -> NDArray[Any]:
    """Run the model without any optimisation."""
    settings = _settings(2)
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return np.array(_session(model, settings).run(None, dict(feeds))[0])


def profile(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Layer]:
    """Read the times that ONNX Runtime notes of every node."""
    settings = _settings(options["threads"])
    settings.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        settings.profile_file_prefix = str(Path(folder) / "profile")
        session = _session(model, settings)
        for _ in range(_PROFILED_RUNS):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    details: dict[tuple[str, str], str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            arguments = event.get("args", {})
            key = (event["name"].removesuffix("_kernel_time"), arguments.get("op_name", ""))
            times[key].append(event["dur"] * 1e-6)
            shapes = [next(iter(v.values())) for v in arguments.get("output_type_shape", [])]
            details[key] = "->" + ",".join("x".join(map(str, shape)) for shape in shapes)
    return [Layer(name, kind, median(t), details[(name, kind)]) for (name, kind), t in times.items()]


def _settings(threads: int) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    return settings


def _session(model: str, settings: Any) -> Any:
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
