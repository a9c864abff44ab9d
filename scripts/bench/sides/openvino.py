"""OpenVINO's CPU kernels in float32, inputs bound beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import openvino

from scripts.bench.problem import Array, Problem
from scripts.bench.sides.base import Variant
from scripts.bench.sides.onnx_operator import OnnxOperator, identity_model, onnx_operators


def load(problem: Problem, arrays: Mapping[str, Array], options: Mapping[str, Any]) -> list[Variant]:
    """Prepare the operator channels first and, where it can fold the transpositions, channels last."""
    core = openvino.Core()
    return [_variant(o, _request(core, o.model, options["threads"])) for o in onnx_operators(problem, arrays)]


def trivial() -> Callable[[], Any]:
    """Return a call of a model that does next to nothing."""
    request = _request(openvino.Core(), identity_model(), 1)
    request.set_input_tensor(0, openvino.Tensor(np.zeros(1, np.float32)))
    return _call(request)


def settings(threads: int) -> dict[str, Any]:
    """Return OpenVINO's properties for one call at a time in float32."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }


def _request(core: Any, model: Any, threads: int) -> Any:
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()),
        "CPU",
        settings(threads),
    )
    return compiled.create_infer_request()


def _call(request: Any) -> Callable[[], Any]:
    # The method below InferRequest.infer: without the dictionary of results it makes for every call.
    return partial(super(type(request), request).infer, {}, share_outputs=True, decode_strings=False)


def _variant(operator: OnnxOperator, request: Any) -> Variant:
    # The request reads the arrays where they are and does not keep them alive.
    feeds = {name: np.ascontiguousarray(array) for name, array in operator.feeds.items()}
    for name, array in feeds.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def output(_inputs: Mapping[str, Array] = feeds) -> Array:
        return operator.back(np.array(request.get_output_tensor(0).data))

    return Variant(operator.layout, _call(request), output)
