"""OpenVINO in float32, inputs bound beforehand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import openvino

from scripts.bench.problem import Array
from scripts.bench.sides.base import Variant
from scripts.bench.sides.openvino import settings
from scripts.bench.whole.sides import Feeds, Layer

_PROFILED_RUNS = 20


def load(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Variant]:
    """Prepare the model for the least latency."""
    request = _request(model, feeds, options["threads"])
    # The method below InferRequest.infer: without the dictionary of results it makes for every call.
    call = partial(super(type(request), request).infer, {}, share_outputs=True, decode_strings=False)

    # The request reads the arrays where they are and does not keep them alive.
    def output(_inputs: Feeds = feeds) -> Array:
        return np.array(request.get_output_tensor(0).data)

    return [Variant("latency", call, output)]


def profile(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Layer]:
    """Read OpenVINO's counters of every node."""
    request = _request(model, feeds, options["threads"], PERF_COUNT=True)
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for _ in range(_PROFILED_RUNS):
        request.infer()
        for info in request.profiling_info:
            seconds = info.real_time.total_seconds()
            if seconds > 0:
                times[(info.node_name, info.node_type, info.exec_type)].append(seconds)
    return [Layer(name, kind, median(t), kernel) for (name, kind, kernel), t in times.items()]


def _request(model: str, feeds: Feeds, threads: int, **more: Any) -> Any:
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model),
        "CPU",
        settings(threads) | more,
    )
    request = compiled.create_infer_request()
    for name, array in feeds.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    return request
