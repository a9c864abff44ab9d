"""The table of named operators: arguments, defaults, element types, definitions.

The operators and their argument order are those of Ansor's evaluation (appendix C), the batch first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_space.tvm_api import te, tirx
from tuner.workloads import products, rows
from tuner.workloads.convolution import capsule, convolution, depthwise
from tuner.workloads.transposed import lay_out_phases, transposed

Tensors = list[Any]
Build = Callable[[Mapping[str, int], "ElementTypes"], Tensors]


@dataclass(frozen=True, slots=True)
class ElementTypes:
    """Types of the first operand, the second operand and the sums."""

    left: str
    right: str
    out: str


PRODUCT_TYPES = {
    "float32": ElementTypes("float32", "float32", "float32"),
    "float64": ElementTypes("float64", "float64", "float64"),
    "float16": ElementTypes("float16", "float16", "float32"),
    "bfloat16": ElementTypes("bfloat16", "bfloat16", "float32"),
    "int8": ElementTypes("uint8", "int8", "int32"),
}
"""``dtype=`` of operators that multiply and add; int8 is unsigned times signed, as on CPUs."""

FLOAT_TYPES = {name: PRODUCT_TYPES[name] for name in ("float32", "float64")}
"""``dtype=`` of operators that need transcendental functions or a root."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One number of an operator's argument list.

    Attributes:
        name: What messages call it.
        minimum: Smallest value that makes sense.
        default: Value when left out; ``None`` if it must be given.
    """

    name: str
    minimum: int = 1
    default: int | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A named operator.

    Attributes:
        name: As on the command line.
        summary: One line for the help text.
        arguments: In command-line order; optional ones last.
        types: Allowed values of ``dtype=``.
        build: Makes the tensors (inputs, then outputs) from the arguments.
        finish: Rewrites the PrimFunc, where TE alone cannot say what is meant.
    """

    name: str
    summary: str
    arguments: tuple[Argument, ...]
    types: Mapping[str, ElementTypes]
    build: Build
    finish: Callable[[Any], Any] | None = None

    @property
    def usage(self) -> str:
        """The argument list as the help text shows it."""
        words = [a.name if a.default is None else f"[{a.name}={a.default}]" for a in self.arguments]
        return f"{self.name}:{','.join(words)}"


def _arguments(text: str, **defaults: int) -> tuple[Argument, ...]:
    minimum = {"padding": 0}
    required = [Argument(name, minimum.get(name, 1)) for name in text.split()]
    return (*required, *(Argument(name, minimum.get(name, 1), value) for name, value in defaults.items()))


def _conv(rank: int) -> Build:
    def build(v: Mapping[str, int], types: ElementTypes) -> Tensors:
        extents = [
            v[name]
            for name in {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}[rank]
        ]
        kernel = [v["kernel"]] * rank
        data = te.placeholder((v["batch"], *extents, v["in_channels"]), name="data", dtype=types.left)
        shape = (*kernel, v["in_channels"] // v["groups"], v["out_channels"])
        weight = te.placeholder(shape, name="weight", dtype=types.right)
        sides = [v["padding"]] * rank
        strides, dilations = [v["stride"]] * rank, [v["dilation"]] * rank
        out = convolution(data, weight, strides, sides, sides, dilations, v["groups"], types.out)
        return [data, weight, out]

    return build


def _dep(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    shape = (v["batch"], v["height"], v["width"], v["channels"])
    data = te.placeholder(shape, name="data", dtype=types.left)
    weight = te.placeholder((v["kernel"], v["kernel"], v["channels"]), name="weight", dtype=types.right)
    sides = [v["padding"]] * 2
    out = depthwise(data, weight, [v["stride"]] * 2, sides, sides, [v["dilation"]] * 2, types.out)
    return [data, weight, out]


def _t2d(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    data = te.placeholder(
        (v["batch"], v["height"], v["width"], v["in_channels"]), name="data", dtype=types.left
    )
    shape = (v["kernel"], v["kernel"], v["in_channels"], v["out_channels"])
    weight = te.placeholder(shape, name="weight", dtype=types.right)
    sides = [v["padding"]] * 2
    return [data, weight, transposed(data, weight, [v["stride"]] * 2, sides, sides, out_dtype=types.out)]


def _cap(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    size, kernel = v["capsule"], v["kernel"]
    shape = (v["batch"], v["height"], v["width"], size, size, v["in_channels"])
    data = te.placeholder(shape, name="data", dtype=types.left)
    shape = (kernel, kernel, size, size, v["in_channels"], v["out_channels"])
    weight = te.placeholder(shape, name="weight", dtype=types.right)
    return [data, weight, capsule(data, weight, v["stride"], v["padding"], types.out)]


def _cbr(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    data, weight, conv = _conv(2)({**v, "groups": 1}, types)
    bias, scale, shift = (
        te.placeholder((v["out_channels"],), name=n, dtype=types.out) for n in ("bias", "scale", "shift")
    )
    shape = tuple(int(e) for e in conv.shape)
    biased = te.compute(shape, lambda *at: conv[at] + bias[at[-1]], name="bias_add")
    scaled = te.compute(shape, lambda *at: biased[at] * scale[at[-1]], name="batch_norm_scale")
    shifted = te.compute(shape, lambda *at: scaled[at] + shift[at[-1]], name="batch_norm_shift")
    zero = tirx.const(0, types.out)
    out = te.compute(shape, lambda *at: tirx.max(shifted[at], zero), name="relu")
    return [data, weight, bias, shift, scale, out]


def _gmm(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    left = te.placeholder((v["batch"], v["rows"], v["inner"]), name="left", dtype=types.left)
    right = te.placeholder((v["batch"], v["inner"], v["columns"]), name="right", dtype=types.right)
    return [left, right, products.batch_matmul(left, right, types.out)]


def _mm(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    left = te.placeholder((v["rows"], v["inner"]), name="left", dtype=types.left)
    right = te.placeholder((v["inner"], v["columns"]), name="right", dtype=types.right)
    return [left, right, products.matmul(left, right, types.out)]


def _tbg(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    shape = (v["batch"], v["length"], v["heads"], v["head_width"])
    query = te.placeholder(shape, name="query", dtype=types.left)
    value = te.placeholder(shape, name="value", dtype=types.right)
    return [query, value, products.attention_scores(query, value, types.out)]


def _nrm(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    data = te.placeholder((v["batch"], v["rows"], v["columns"]), name="data", dtype=types.left)
    return [data, rows.norm(data)]


def _sfm(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    data = te.placeholder((v["rows"], v["columns"]), name="data", dtype=types.left)
    return [data, rows.softmax(data)]


def _layernorm(v: Mapping[str, int], types: ElementTypes) -> Tensors:
    data = te.placeholder((v["rows"], v["columns"]), name="data", dtype=types.left)
    scale, shift = (te.placeholder((v["columns"],), name=n, dtype=types.left) for n in ("scale", "shift"))
    return [data, scale, shift, rows.layer_norm(data, scale, shift, [1], 1e-5)]


_CONV2D = "batch height width in_channels out_channels kernel stride padding"

OPERATORS: Mapping[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator(
            "c1d",
            "one-dimensional convolution, NLC",
            _arguments("batch length in_channels out_channels kernel stride padding", dilation=1, groups=1),
            PRODUCT_TYPES,
            _conv(1),
        ),
        Operator(
            "c2d",
            "two-dimensional convolution, NHWC",
            _arguments(_CONV2D, dilation=1, groups=1),
            PRODUCT_TYPES,
            _conv(2),
        ),
        Operator(
            "c3d",
            "three-dimensional convolution, NDHWC",
            _arguments("batch depth " + _CONV2D.removeprefix("batch "), dilation=1, groups=1),
            PRODUCT_TYPES,
            _conv(3),
        ),
        Operator(
            "gmm", "batched matrix product", _arguments("batch rows columns inner"), PRODUCT_TYPES, _gmm
        ),
        Operator(
            "grp",
            "grouped convolution, NHWC",
            _arguments(_CONV2D, dilation=1, groups=4),
            PRODUCT_TYPES,
            _conv(2),
        ),
        Operator(
            "dil",
            "dilated convolution, NHWC",
            _arguments(_CONV2D, dilation=2, groups=1),
            PRODUCT_TYPES,
            _conv(2),
        ),
        Operator(
            "dep",
            "depthwise convolution, NHWC",
            _arguments("batch height width channels kernel stride padding", dilation=1),
            PRODUCT_TYPES,
            _dep,
        ),
        Operator(
            "t2d",
            "transposed convolution, NHWC",
            _arguments(_CONV2D),
            PRODUCT_TYPES,
            _t2d,
            lay_out_phases,
        ),
        Operator("cap", "capsule convolution", _arguments(_CONV2D, capsule=4), PRODUCT_TYPES, _cap),
        Operator("nrm", "Frobenius norm of matrices", _arguments("batch rows columns"), FLOAT_TYPES, _nrm),
        Operator("sfm", "softmax of rows", _arguments("rows columns"), FLOAT_TYPES, _sfm),
        Operator(
            "cbr",
            "convolution, bias, batch normalisation, ReLU, NHWC",
            _arguments(_CONV2D, dilation=1),
            FLOAT_TYPES,
            _cbr,
        ),
        Operator(
            "tbg",
            "transposition and batched matrix product (attention scores)",
            _arguments("batch length heads head_width"),
            PRODUCT_TYPES,
            _tbg,
        ),
        Operator("mm", "matrix product", _arguments("rows columns inner"), PRODUCT_TYPES, _mm),
        Operator(
            "layernorm", "layer normalisation of rows", _arguments("rows columns"), FLOAT_TYPES, _layernorm
        ),
    )
}
"""Every named operator, in the order that messages list them."""
