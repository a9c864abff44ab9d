"""Turns a lowered ``main`` into one machine-code function that calls every kernel itself.

before (Relax)::

    main(x): a = call_tir(conv, (x, W)); b = reshape(a); y = call_tir(dense, (b, V)); return y

after (TensorIR)::

    main(x, weights, arena, y): conv(x, weights + 0, arena + 0); dense(arena + 0, weights + 4096, y)

TVM's virtual machine interprets some six instructions a kernel, makes and drops a tensor object for every
weight and every result, and asks an allocator for memory in every run; here a call costs some stores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import IRModule, PrimFunc, tirx, tvm
from tuner.artifact import ALIGNMENT_BYTES
from tuner.graph.arena import Lifetime, aligned, place
from tuner.graph.rewriter import array_of, is_straight_line, name_of, shape_of
from tuner.straight_program import Operand, Step, StraightProgram

relax = tvm.relax


@dataclass(frozen=True, slots=True, eq=False)
class Straightened:
    """A model without Relax.

    Attributes:
        module: The kernels that are called, and ``main``: inputs, weights, arena, outputs.
        program: What ``main`` does.
        weights: One block of bytes on a cache line.
    """

    module: IRModule
    program: StraightProgram
    weights: NDArray[np.uint8]


class _NotStraight(Exception):
    """Something that is no call of a kernel."""


@dataclass(slots=True, eq=False)
class _Storage:
    space: str
    position: int = 0
    size_bytes: int = 0
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    storage: _Storage
    shape: tuple[int, ...]
    dtype: str

    def operand(self) -> Operand:
        return Operand(self.storage.space, self.storage.position, self.shape, self.dtype)


@dataclass(slots=True, eq=False)
class _Walk:
    values: dict[Any, Any] = field(default_factory=dict)
    constants: dict[Any, _Tensor] = field(default_factory=dict)
    arrays: list[NDArray[Any]] = field(default_factory=list)
    weights_bytes: int = 0
    buffers: list[_Storage] = field(default_factory=list)
    calls: list[tuple[str, list[_Tensor]]] = field(default_factory=list)

    def read(self, expression: Any) -> Any:
        """Return the tensor, or the tuple of tensors, that an expression stands for."""
        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self.read(part) for part in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return self.read(expression.tuple_value)[int(expression.index)]
        array = array_of(expression)
        if array is None:
            raise _NotStraight
        if expression not in self.constants:
            storage = _Storage("weights", self.weights_bytes, array.nbytes)
            self.constants[expression] = _Tensor(storage, *_type(expression))
            self.arrays.append(array)
            self.weights_bytes += aligned(array.nbytes)
        return self.constants[expression]

    def define(self, value: Any) -> Any:
        """Return what a binding's value is, and note the call that it takes."""
        if not isinstance(value, relax.Call):
            return self.read(value)
        if name_of(value) == "relax.reshape":
            return _Tensor(self.read(value.args[0]).storage, shape_of(value), str(value.ty.dtype))
        if name_of(value) != "relax.call_tir" or len(value.args) != 2:
            raise _NotStraight
        operands = list(self.read(value.args[1]))
        step = len(self.calls)
        for operand in operands:
            operand.storage.last = step
        types = value.ty_args[0]
        results = [self._buffer(kind, step) for kind in getattr(types, "fields", [types])]
        self.calls.append((str(value.args[0].name_hint), [*operands, *results]))
        return tuple(results) if hasattr(types, "fields") else results[0]

    def _buffer(self, kind: Any, step: int) -> _Tensor:
        shape, dtype = tuple(int(extent) for extent in kind.shape.values), str(kind.dtype)
        storage = _Storage("arena", 0, _bytes(shape, dtype), step, step)
        self.buffers.append(storage)
        return _Tensor(storage, shape, dtype)


def straighten(module: IRModule) -> Straightened | None:
    """Replace a Relax ``main`` by a function in TensorIR.

    Args:
        module: A lowered CPU model whose functions are scheduled; static shapes.

    Returns:
        The model, or ``None`` if ``main`` does anything but call kernels and look at their results in another
        shape, or returns something that no kernel of its own has written.
    """
    main = module["main"]
    if not is_straight_line(main):
        return None
    walk = _Walk()
    try:
        for index, param in enumerate(main.params):
            walk.values[param] = _Tensor(_Storage("input", index), *_type(param))
        for block in main.body.blocks:
            for binding in block.bindings:
                walk.values[binding.var] = walk.define(binding.value)
        outputs = _leaves(walk.read(main.body.body))
    except _NotStraight:
        return None
    if len({id(t.storage) for t in outputs}) < len(outputs) or any(
        t.storage.space != "arena" for t in outputs
    ):
        return None
    for index, tensor in enumerate(outputs):
        tensor.storage.space, tensor.storage.position = "output", index
    between = [storage for storage in walk.buffers if storage.space == "arena"]
    offsets, size_bytes = place([Lifetime(s.size_bytes, s.first, s.last) for s in between])
    for storage, offset in zip(between, offsets, strict=True):
        storage.position = offset
    steps = tuple(Step(symbol, tuple(t.operand() for t in operands)) for symbol, operands in walk.calls)
    # Blocks of no bytes have no address.
    program = StraightProgram(steps, max(size_bytes, ALIGNMENT_BYTES))
    weights = _weights(walk)
    inputs = [walk.values[param].operand() for param in main.params]
    entry = _entry(program, inputs, [tensor.operand() for tensor in outputs], weights.nbytes)
    called = {step.symbol for step in steps}
    kernels = {
        variable: func.with_attr("global_symbol", variable.name_hint)
        for variable, func in module.functions.items()
        if isinstance(func, PrimFunc) and variable.name_hint in called
    }
    return Straightened(IRModule({**kernels, tvm.ir.GlobalVar("main"): entry}), program, weights)


def _entry(
    program: StraightProgram, inputs: list[Operand], outputs: list[Operand], weights_bytes: int
) -> PrimFunc:
    """Write ``main``; kernels have fixed shapes and read nothing but the address of an argument."""
    given = [tirx.decl_buffer(o.shape, o.dtype, f"input{o.position}") for o in inputs]
    taken = [tirx.decl_buffer(o.shape, o.dtype, f"output{o.position}") for o in outputs]
    blocks = {"weights": _block("weights", weights_bytes), "arena": _block("arena", program.arena_bytes)}
    nothing, rank = tirx.const(0, "int64"), tirx.const(0, "int32")

    def argument(operand: Operand) -> Any:
        if operand.space in blocks:
            offset = tirx.IntImm("int64", operand.position)
            address = tirx.address_of(blocks[operand.space][offset])
        else:
            address = (given if operand.space == "input" else taken)[operand.position].data
        return tirx.tvm_stack_make_array(address, nothing, nothing, rank, operand.dtype, nothing)

    calls = [
        tirx.Evaluate(tirx.call_cpacked(step.symbol, *map(argument, step.operands), tirx.const(0, "int32")))
        for step in program.steps
    ]
    params = [*given, blocks["weights"], blocks["arena"], *taken]
    func = PrimFunc(params, tirx.stmt_seq(*calls)).with_attr("global_symbol", "main")
    return func.with_attr("tirx.is_scheduled", tirx.IntImm("bool", True))


def _block(name: str, size_bytes: int) -> Any:
    return tirx.decl_buffer((tirx.IntImm("int64", size_bytes),), "uint8", name)


def _weights(walk: _Walk) -> NDArray[np.uint8]:
    size_bytes = max(ALIGNMENT_BYTES, walk.weights_bytes)
    memory = np.empty(size_bytes + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    block = memory[start : start + size_bytes]
    for tensor, array in zip(walk.constants.values(), walk.arrays, strict=True):
        at = tensor.storage.position
        block[at : at + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return block


def _leaves(value: Any) -> list[_Tensor]:
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, tuple) else [value]


def _type(expression: Any) -> tuple[tuple[int, ...], str]:
    return shape_of(expression), str(expression.ty.dtype)


def _bytes(shape: tuple[int, ...], dtype: str) -> int:
    kind = tvm.DataType(dtype)
    return int(np.prod(shape, dtype=np.int64)) * -(-int(kind.bits) * int(kind.lanes) // 8)
