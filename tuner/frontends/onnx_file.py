"""Imports ONNX files into Relax, with the weights bound as constants."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from tvm.relax.frontend.onnx import onnx_frontend

from search_space.error_text import last_line
from search_space.tvm_api import tvm
from tuner.errors import UserError
from tuner.frontends.files import require_file
from tuner.frontends.program import Model
from tuner.frontends.relax_module import from_relax
from tuner.units import counted

Shapes = Mapping[str, Sequence[int]]


def from_onnx(source: str | Path | Any, input_shapes: Shapes | None = None, name: str | None = None) -> Model:
    """Import an ONNX model.

    Args:
        source: Path of the file, or an ``onnx.ModelProto``.
        input_shapes: Shapes to give to inputs, by name; needed where the file leaves them open. Other
            names are for other models.
        name: Readable name; the file's stem when absent.

    Returns:
        The model.

    Raises:
        UserError: If the file is no ONNX model, an operator is unsupported (named with its node), or a
            shape is left open.
    """
    if isinstance(source, (str, Path)):
        label, proto = str(source), _read(Path(source))
        name = name or Path(source).stem
    else:
        label, proto = name or "the ONNX model", source
        name = name or proto.graph.name or "model"
    shapes = _shapes(label, proto.graph, dict(input_shapes or {}))
    _check_operators(label, proto.graph)
    importer = _Importer(shapes, None, keep_params_in_input=False, sanitize=True)
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
    try:
        # The importer prints and warns; its messages come back in the exception.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importer.from_onnx(proto.graph, opset)
    except _NodeError as error:
        raise UserError(f"{label}: {error}") from error
    except (ValueError, tvm.error.TVMError, NotImplementedError, KeyError, AssertionError) as error:
        raise UserError(f"{label} cannot be imported: {last_line(error)}") from error
    model = from_relax(module, name, tuple(output.name for output in proto.graph.output))
    return replace(model, shapeable=tuple(shapes))


class _NodeError(Exception):
    """A node that could not be converted."""


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer, saying which node failed."""

    def _convert_operator(self, op_name: str, inputs: Any, attrs: Any, opset: int) -> Any:
        try:
            if (
                op_name == "Clip"
                and opset >= 11
                and all(i is None or _scalar(i) is not None for i in inputs[1:3])
            ):
                return self._clip(inputs)
            return super()._convert_operator(op_name, inputs, attrs, opset)
        except Exception as error:
            shapes = [str(getattr(getattr(i, "ty", None), "shape", None) or "-") for i in inputs]
            raise _NodeError(
                f"operator {op_name} of node {attrs['tvm_custom']['name']!r} with input shapes "
                f"{' '.join(shapes)} cannot be imported: {last_line(error)}"
            ) from error

    def _clip(self, inputs: Any) -> Any:
        """Emit operators for constant bounds; TVM's own conversion hides them in functions."""
        low, high = (None if i is None else _scalar(i) for i in (inputs[1], inputs[2]))
        value, dtype = inputs[0], inputs[0].ty.dtype
        if low is not None and not math.isnan(low):
            value = self.bb.emit(tvm.relax.op.maximum(value, tvm.relax.const(low, dtype)))
        if high is not None and not math.isnan(high):
            value = self.bb.emit(tvm.relax.op.minimum(value, tvm.relax.const(high, dtype)))
        return value


def _scalar(expression: Any) -> float | None:
    """Return the value of a floating-point constant with one element, else ``None``."""
    values = getattr(getattr(expression, "value", None), "numpy", lambda: None)()
    if values is None or values.size != 1 or values.dtype.kind != "f":
        return None
    return float(values.reshape(-1)[0])


def _read(path: Path) -> Any:
    require_file(path)
    try:
        proto = onnx.load(str(path))
    except Exception as error:
        raise UserError(f"{path} is not an ONNX model: {last_line(error)}") from error
    if not proto.graph.node or proto.ir_version < 3:
        raise UserError(f"{path} is not an ONNX model: it holds no graph (IR version {proto.ir_version})")
    return proto


def _shapes(label: str, graph: Any, given: dict[str, Sequence[int]]) -> dict[str, list[int]]:
    """Return a static shape for every input."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    shapes: dict[str, list[int]] = {}
    for value in inputs:
        dims = list(value.type.tensor_type.shape.dim) if value.type.tensor_type.HasField("shape") else None
        if value.name in given:
            shape = [int(extent) for extent in given[value.name]]
            if min(shape, default=1) < 1 or (dims is not None and len(dims) != len(shape)):
                rank = "any rank" if dims is None else f"{len(dims)} dimensions"
                raise UserError(
                    f"{label}: shape {shape} of input {value.name!r} must be positive with {rank}"
                )
        elif dims is None or any(not d.HasField("dim_value") or d.dim_value < 1 for d in dims):
            shown = (
                "unknown" if dims is None else ",".join(d.dim_param or str(d.dim_value or "?") for d in dims)
            )
            example = (
                "1,3,224,224"
                if dims is None or len(dims) == 4
                else ",".join(["1"] + ["128"] * (len(dims) - 1))
            )
            raise UserError(
                f"{label}: input {value.name!r} has the dynamic shape {shown}: "
                f"fix it with --input-shape {value.name}={example} (your numbers)"
            )
        else:
            shape = [int(d.dim_value) for d in dims]
        shapes[value.name] = shape
    return shapes


def _check_operators(label: str, graph: Any) -> None:
    known = {*onnx_frontend._get_convert_map(), "If", "Constant"}
    unknown = [
        (index, node)
        for index, node in enumerate(graph.node)
        if node.op_type not in known or node.domain not in ("", "ai.onnx")
    ]
    if not unknown:
        return
    index, node = unknown[0]
    domain = f"{node.domain}." if node.domain else ""
    where = node.name or (node.output[0] if node.output else "?")
    more = f" (and {counted(len(unknown) - 1, 'more node')})" if len(unknown) > 1 else ""
    raise UserError(
        f"{label}: operator {domain}{node.op_type} of node {where!r} (number {index}) with input shapes "
        f"{' '.join(_shapes_of(graph, node.input)) or '-'} is unsupported{more}"
    )


def _shapes_of(graph: Any, names: Sequence[str]) -> list[str]:
    """Return what the file says of the shapes of some tensors, ``?`` for each that it leaves open."""
    known = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            known[value.name] = [
                d.dim_param or (d.dim_value if d.HasField("dim_value") else "?") for d in dims
            ]
    return ["x".join(map(str, known[n])) or "scalar" if n in known else "?" for n in names]
