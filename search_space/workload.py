"""A normalised TensorIR function: the unit that is tuned, recorded and looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from search_space import tvm_api

CONSTANTS = "tirtune.constants"
"""Attribute of a PrimFunc: positions of the parameters that are known when a model is compiled."""


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """One argument of a workload.

    Attributes:
        name: Readable name of the parameter.
        shape: Extents, outermost first.
        dtype: TVM's name of the element type, such as ``float32``.
        is_output: Whether the function writes it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_output: bool

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A PrimFunc without its symbol name, with what every layer needs to know of it.

    Attributes:
        name: Readable name, such as ``gmm:1,512,512,512``; never used for look-up.
        func: The untuned PrimFunc, its blocks as imported (nothing scheduled).
        key: Structural hash as 16 hexadecimal digits; the look-up key.
        args: The parameters in call order (destination passing: outputs are parameters).
        flops: Floating-point operations of one call as TVM's analysis counts them (at least 1).
        constants: Positions of the arguments that are weights, known when a model is compiled. What only
            they go into (packing, transforms) happens then and not in a call; they are part of the key.
    """

    name: str
    func: Any
    key: str
    args: tuple[BufferSpec, ...]
    flops: float
    constants: tuple[int, ...] = ()

    @property
    def inputs(self) -> tuple[BufferSpec, ...]:
        """The arguments that are only read."""
        return tuple(a for a in self.args if not a.is_output)

    @property
    def outputs(self) -> tuple[BufferSpec, ...]:
        """The arguments that are written."""
        return tuple(a for a in self.args if a.is_output)

    def program(self) -> str:
        """Return the function as JSON text (see :func:`workload_from_program`)."""
        return tvm_api.save_json(self.func)


def normalise(func: Any) -> Any:
    """Drop what does not change the meaning of a PrimFunc: its symbol and compile-time hints.

    Args:
        func: A PrimFunc in TensorIR form.

    Returns:
        The function with only ``s_tir``, ``tirx.noalias`` and :data:`CONSTANTS` left as attributes.
    """
    for name in list(func.attrs.keys()) if func.attrs is not None else []:
        if name not in ("s_tir", "tirx.noalias", CONSTANTS):
            func = func.without_attr(name)
    return func.with_attr("tirx.noalias", True)


def workload_of(func: Any, name: str, constants: Sequence[int] | None = None) -> Workload:
    """Describe a PrimFunc as a workload.

    Args:
        func: A PrimFunc in TensorIR form, every shape static.
        name: Readable name.
        constants: Positions of the parameters that are weights; what the function's own attribute
            says when absent.

    Returns:
        The workload; equal programs have equal keys whatever their names.

    Raises:
        ValueError: If a parameter is not a buffer with static extents.
    """
    func = _with_constants(normalise(func), constants)
    written = _written_buffers(func)
    args: list[BufferSpec] = []
    for param in func.params:
        shape = getattr(param, "shape", None)
        if shape is None:
            raise ValueError(f"workload {name}: parameter {param} is not a buffer")
        extents: list[int] = []
        for extent in shape:
            try:
                extents.append(int(extent))
            except TypeError as error:
                raise ValueError(
                    f"workload {name}: parameter {param.name} has a dynamic extent {extent}: "
                    "tuning needs static shapes"
                ) from error
        args.append(
            BufferSpec(
                str(param.name), tuple(extents), str(param.dtype), any(param.same_as(w) for w in written)
            )
        )
    module = tvm_api.IRModule({"main": func.with_attr("global_symbol", "main")})
    flops = float(tvm_api.estimate_flops(module))
    fixed = constants_of(func)
    wrong = [p for p in fixed if not 0 <= p < len(args) or args[p].is_output]
    if wrong:
        raise ValueError(f"workload {name}: parameters {wrong} cannot be weights: they are no inputs")
    return Workload(name, func, tvm_api.structural_key(func), tuple(args), max(flops, 1.0), fixed)


def workload_from_program(program: str, name: str) -> Workload:
    """Rebuild a workload from :meth:`Workload.program`."""
    return workload_of(tvm_api.load_json(program), name)


def _with_constants(func: Any, constants: Sequence[int] | None) -> Any:
    if constants is None:
        return func
    if constants:
        return func.with_attr(CONSTANTS, sorted(constants))
    return func.without_attr(CONSTANTS) if CONSTANTS in func.attrs else func


def constants_of(func: Any) -> tuple[int, ...]:
    """Return the positions of the parameters that a function marks as weights."""
    return tuple(int(p) for p in func.attrs[CONSTANTS]) if CONSTANTS in func.attrs else ()


def _written_buffers(func: Any) -> list[Any]:
    written: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, tvm_api.tirx.BufferStore):
            written.append(node.buffer)

    tvm_api.walk(func.body, visit)
    return written
