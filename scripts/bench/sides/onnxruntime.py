"""ONNX Runtime's CPU kernels, inputs and outputs bound beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from scripts.bench.problem import Array, Problem
from scripts.bench.sides.base import Variant
from scripts.bench.sides.onnx_operator import OnnxOperator, identity_model, onnx_operators

# ALL may choose blocked layouts with conversions at the border, EXTENDED may not: the faster one counts.
_LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}


def load(problem: Problem, arrays: Mapping[str, Array], options: Mapping[str, Any]) -> list[Variant]:
    """Prepare the operator at each level of optimisation."""
    operators = [o for o in onnx_operators(problem, arrays) if o.layout != "channels last"]
    return [
        _variant(f"{o.layout}, level {name}", o, _session(o.model, options["threads"], level))
        for o in operators
        for name, level in _LEVELS.items()
    ]


def trivial() -> Callable[[], Any]:
    """Return a call of a model that does next to nothing."""
    session = _session(identity_model(), 1, _LEVELS["all"])
    binding = _bound(session, {"data": np.zeros(1, np.float32)})
    return partial(session.run_with_iobinding, binding)


def _session(model: Any, threads: int, level: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _bound(session: Any, feeds: Mapping[str, Array]) -> Any:
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    (output,) = session.get_outputs()
    shape = [int(extent) for extent in output.shape]
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32)
    binding.bind_ortvalue_output(output.name, value)
    return binding


def _variant(name: str, operator: OnnxOperator, session: Any) -> Variant:
    binding = _bound(session, operator.feeds)

    def output() -> Array:
        return operator.back(binding.get_outputs()[0].numpy())

    return Variant(name, partial(session.run_with_iobinding, binding), output)
