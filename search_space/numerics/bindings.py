"""Named intermediate values inside one TensorIR expression.

TensorIR expressions are trees: a value that is used twice is written (and grows) twice. A ``Let``
keeps it once; TVM's ``VectorizeLoop`` turns the bound variable into a vector, so code with
bindings vectorises like code without.
"""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import tirx


class Bindings:
    """Collects values in order and wraps them around a result as nested ``Let`` expressions."""

    def __init__(self) -> None:
        self._bound: list[tuple[Any, Any]] = []

    def bind(self, name: str, value: Any, dtype: str = "float32") -> Any:
        """Name a value.

        Args:
            name: Readable name of the variable.
            value: Scalar expression; may use variables bound before.
            dtype: Its element type.

        Returns:
            The variable that stands for the value.
        """
        variable = tirx.Var(name, dtype)
        self._bound.append((variable, value))
        return variable

    def close(self, result: Any) -> Any:
        """Return ``let v1 = e1 in let v2 = e2 in ... result``."""
        for variable, value in reversed(self._bound):
            result = tirx.Let(variable, value, result)
        return result


def real(value: float) -> Any:
    """Return a float32 constant."""
    return tirx.const(value, "float32")


def integer(value: int) -> Any:
    """Return an int32 constant, given signed or as an unsigned bit pattern."""
    return tirx.const(value - 2**32 if value >= 2**31 else value, "int32")


def bits_of(value: Any) -> Any:
    """Return the bit pattern of a float32 as int32."""
    return tirx.reinterpret("int32", value)


def from_bits(value: Any) -> Any:
    """Return the float32 whose bit pattern is an int32."""
    return tirx.reinterpret("float32", value)


def horner(variable: Any, coefficients: tuple[float, ...]) -> Any:
    """Return ``c0 + x*(c1 + x*(c2 + ...))``; each step becomes one fused multiply-add."""
    result = real(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * variable
        if coefficient != 0.0:
            result = result + real(coefficient)
    return result
