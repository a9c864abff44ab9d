"""Layers as networks contain them: an operator with constant weights, and what is fused behind it.

A layer's text is that of a named operator and what follows it, such as ``c2d:1,15,15,96,160,3,1,1+relu``.
Named operators get their weights with every call; those of a network are known when it is compiled, so
that packing and transforming them costs nothing: other schedules win.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from scripts.bench.definitions.graph import Graph
from scripts.bench.problems import problem_of
from search_space.workload import Workload
from tuner.errors import UserError
from tuner.extract import lower
from tuner.frontends.onnx_file import from_onnx
from tuner.workloads import named_workload

TAILS = ("bias", "relu", "add", "add.relu", "clip", "gelu", "tanh")
"""What may follow: all but ``tanh`` add a bias first; ``add`` is a residual connection."""
_EXTENTS = ("length", "depth", "height", "width")


def workload_of_text(text: str) -> Workload:
    """Return a named operator, or the layer of a network.

    Args:
        text: ``operator:numbers``, or a layer: ``operator:numbers+tail``.

    Returns:
        The workload; a layer's weights are its constants.

    Raises:
        UserError: If the text names neither.
    """
    named, plus, tail = text.partition("+")
    if not plus:
        return named_workload(text)
    if tail not in TAILS:
        raise UserError(f"{tail!r} in {text!r} cannot follow an operator: known are {', '.join(TAILS)}")
    lowered = lower(from_onnx(_model(named, tail), name=text))
    return max(lowered.workloads.values(), key=lambda workload: workload.flops)


def _model(named: str, tail: str) -> onnx.ModelProto:
    problem = problem_of(named)
    v = problem.values
    graph = Graph("layer")
    if problem.operator == "mm":
        x = graph.op(
            "MatMul", graph.input("data", (v["rows"], v["inner"])), _weight(graph, v["inner"], v["columns"])
        )
        return graph.finish(_followed(graph, x, (v["rows"], v["columns"]), (v["columns"],), tail))
    extents = [v[name] for name in _EXTENTS if name in v]
    if not extents or "kernel" not in v or "in_channels" not in v:
        raise UserError(f"{named!r} is no layer: use a convolution or mm")
    rank, groups = len(extents), v.get("groups", 1)
    data = graph.input("data", (v["batch"], v["in_channels"], *extents))
    kernel = (v["kernel"],) * rank
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": (v["stride"],) * rank,
        "pads": (v["padding"],) * (2 * rank),
    }
    if problem.operator == "t2d":
        weight = _weight(graph, v["in_channels"], v["out_channels"], *kernel)
        x = graph.op("ConvTranspose", data, weight, **attributes)
    else:
        weight = _weight(graph, v["out_channels"], v["in_channels"] // groups, *kernel)
        dilations = (v.get("dilation", 1),) * rank
        x = graph.op("Conv", data, weight, group=groups, dilations=dilations, **attributes)
    batch, *behind, channels = problem.output.shape
    return graph.finish(_followed(graph, x, (batch, channels, *behind), (channels, *(1,) * rank), tail))


def _weight(graph: Graph, *shape: int) -> str:
    return graph.weight(*shape, scale=float(np.prod(shape)) ** -0.25)


def _followed(graph: Graph, x: str, shape: Sequence[int], bias: Sequence[int], tail: str) -> str:
    if tail == "tanh":
        return graph.op("Tanh", x)
    x = graph.op("Add", x, graph.weight(*bias))
    if tail.startswith("add"):
        x = graph.op("Add", x, graph.input("residual", shape))
    if tail.endswith("relu"):
        return graph.op("Relu", x)
    if tail == "clip":
        return graph.op("Clip", x, graph.scalar(0.0), graph.scalar(6.0))
    return graph.gelu(x) if tail == "gelu" else x
