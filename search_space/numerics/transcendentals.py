"""Replace library calls by vectorisable arithmetic.

before::

    for i in T.vectorized(16):
        B[i] = T.exp(A[i])              # one call of expf per lane

after::

    for i in T.vectorized(16):          # one straight line of vector instructions
        B[i] = let x = A[i] in let m = round(x / (2 ln 2)) in ... polynomial(r) * 2^m * 2^m
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search_space.numerics import float32
from search_space.tvm_api import IRModule, PrimFunc, tirx, tvm, tvm_ffi

REPLACED: dict[str, Callable[[Any], Any]] = {
    "tirx.exp": float32.exp,
    "tirx.log": float32.log,
    "tirx.tanh": float32.tanh,
    "tirx.erf": float32.erf,
    "tirx.sigmoid": float32.sigmoid,
    "tirx.rsqrt": float32.reciprocal_square_root,
}
"""Operator name to the expression that replaces a call with one float32 argument."""

_NARROW = ("float16", "bfloat16")


def vectorise_transcendentals(program: Any) -> Any:
    """Rewrite exp, log, tanh, erf, sigmoid, rsqrt and simple powers as plain arithmetic.

    Works on untouched and on scheduled TensorIR alike, in scalar and in vectorised loops; apply it
    just before compiling. Float16 and bfloat16 calls are computed in float32; float64 calls, calls
    on vectors and powers without a short form stay as they are.

    Args:
        program: A PrimFunc, or an IRModule whose PrimFuncs are rewritten.

    Returns:
        The program with the same interface; the same object if there was nothing to replace.
    """
    if isinstance(program, IRModule):
        functions = {
            name: _rewrite(function) if isinstance(function, PrimFunc) else function
            for name, function in program.functions_items()
        }
        return IRModule(functions, attrs=program.attrs)
    return _rewrite(program)


def _rewrite(function: Any) -> Any:
    body = tvm_ffi.structural_map(function.body, (tvm.ir.Call, _replace), order="post")
    return function if body.same_as(function.body) else function.with_body(body)


def _replace(call: Any) -> Any:
    name = str(getattr(call.op, "name", ""))
    if name not in REPLACED and name != "tirx.pow":
        return call
    dtype = str(call.args[0].ty)
    if dtype in _NARROW:
        wide = [tirx.Cast("float32", argument) for argument in call.args]
        result = _expand(name, wide)
        return call if result is None else tirx.Cast(dtype, result)
    if dtype != "float32":
        return call
    result = _expand(name, list(call.args))
    return call if result is None else result


def _expand(name: str, arguments: list[Any]) -> Any | None:
    if name == "tirx.exp" and (bounded := _not_positive(arguments[0])) is not None:
        return float32.exp_not_positive(bounded)
    if name != "tirx.pow":
        return REPLACED[name](arguments[0])
    exponent = arguments[1]
    while isinstance(exponent, tirx.Cast):
        exponent = exponent.value
    if not isinstance(exponent, (tirx.FloatImm, tirx.IntImm)):
        return None
    return float32.power(arguments[0], float(exponent.value))


def _not_positive(argument: Any) -> Any | None:
    """Return x where an argument is ``min(x, 0)``."""
    if isinstance(argument, tirx.Min) and isinstance(argument.b, tirx.FloatImm) and argument.b.value == 0.0:
        return argument.a
    return None
