"""Walks a straight-line Relax function once and lets small rules replace its calls.

Rules see calls whose arguments were already rewritten, and what they emit goes through the rules
again, so a chain such as convolution, bias, batch normalisation collapses in one walk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import IRModule, tvm

relax = tvm.relax
Rule = Callable[["Rewriter", Any], Any]
"""Takes the rewriter and a normalised call; returns what stands for it, or ``None`` to pass."""


class Rewriter:
    """The state of one walk.

    Args:
        rules: Tried in order on every call until one answers.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._builder = relax.BlockBuilder()
        self._values: dict[Any, Any] = {}
        self._definitions: dict[Any, Any] = {}
        self._uses: dict[Any, int] = {}
        self._moved: dict[Any, Any] = {}

    def definition(self, expression: Any, operator: str | None = None) -> Any:
        """Return the call that defines a variable, or ``None``.

        Args:
            expression: Anything; only variables bound in this function have definitions.
            operator: Only answer if the call is of this operator, such as ``relax.add``.
        """
        call = self._definitions.get(expression) if isinstance(expression, relax.Var) else None
        if call is None or (operator is not None and name_of(call) != operator):
            return None
        return call

    def used_once(self, expression: Any) -> bool:
        """Report whether replacing the only user of a variable makes it dead."""
        return self._uses.get(expression, 1) <= 1

    def emit(self, call: Any) -> Any:
        """Add a call, after the rules had their say; return the expression that holds its value."""
        call = self._builder.normalize(call)
        if not isinstance(call, relax.Call):
            return call
        for rule in self._rules:
            result = rule(self, call)
            if result is not None:
                return result
        key = _movement_key(call)
        if key is not None and key in self._moved:
            return self._moved[key]
        variable = self._builder.emit(call)
        self._definitions[variable] = call
        if key is not None:
            self._moved[key] = variable
        return variable

    def call_function(self, func: Any, name: str, arguments: Sequence[Any], result: Any) -> Any:
        """Add a TensorIR function and a call of it; return the variable that holds its value.

        Args:
            func: The PrimFunc; its outputs are its last parameters.
            name: Stem of its symbol.
            arguments: The tensors that it reads.
            result: Type of the result.
        """
        return self.emit(relax.call_tir(self._builder.add_func(func, name), list(arguments), result))

    def run(self, module: IRModule) -> IRModule:
        """Rewrite ``main`` of a module.

        Args:
            module: Its ``main`` is rewritten if it is straight-line code; other functions stay.

        Returns:
            The new module, dead code removed.
        """
        main = module["main"]
        if not is_straight_line(main):
            return module
        bindings = [binding for block in main.body.blocks for binding in block.bindings]
        uses = Counter(
            argument for b in bindings for argument in _arguments(b.value) if isinstance(argument, relax.Var)
        )
        uses.update(a for a in _arguments(main.body.body) if isinstance(a, relax.Var))
        others = {variable: func for variable, func in module.functions.items() if not func.same_as(main)}
        self._builder = relax.BlockBuilder(IRModule(others, attrs=module.attrs))
        with self._builder.function("main", list(main.params)):
            with self._builder.dataflow():
                for binding in bindings:
                    result = self._visit(binding.value)
                    self._values[binding.var] = result
                    if isinstance(result, relax.Var):
                        # A variable that stands for several old ones has the users of all of them.
                        self._uses[result] = self._uses.get(result, 0) + uses[binding.var]
                output = self._builder.emit_output(self._replace(main.body.body))
            self._builder.emit_func_output(output)
        result = self._builder.get()
        if main.attrs:
            result["main"] = result["main"].with_attrs(main.attrs)
        return relax.transform.DeadCodeElimination(["main"])(result)

    def _visit(self, value: Any) -> Any:
        value = self._replace(value)
        if isinstance(value, relax.TupleGetItem):
            source = self.definition(value.tuple_value) or value.tuple_value
            if isinstance(source, relax.Tuple):
                return source.fields[value.index]
            return self._builder.emit(value)
        if isinstance(value, relax.Call):
            return self.emit(value)
        return value

    def _replace(self, expression: Any) -> Any:
        if isinstance(expression, relax.Var):
            return self._values.get(expression, expression)
        if isinstance(expression, relax.Tuple):
            return relax.Tuple([self._replace(field) for field in expression.fields])
        if isinstance(expression, relax.TupleGetItem):
            return relax.TupleGetItem(self._replace(expression.tuple_value), expression.index)
        if isinstance(expression, relax.Call):
            arguments = [self._replace(argument) for argument in expression.args]
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
        return expression


def _movement_key(call: Any) -> Any:
    """Identify a permutation of a tensor, so that rules that ask for it twice get it once."""
    if name_of(call) != "relax.permute_dims" or call.attrs.axes is None:
        return None
    return call.args[0], tuple(int(axis) for axis in call.attrs.axes)


def name_of(call: Any) -> str:
    """Return the operator's name of a call, empty for anything else."""
    operator = getattr(call, "op", None)
    return str(operator.name) if isinstance(operator, tvm.ir.Op) else ""


def shape_of(expression: Any) -> tuple[int, ...]:
    """Return the static shape of a tensor expression."""
    return tuple(int(extent) for extent in expression.ty.shape.values)


def array_of(expression: Any) -> NDArray[Any] | None:
    """Return the values of a constant, or ``None``."""
    if not isinstance(expression, tvm.ir.GenericConst) or not hasattr(expression.value, "numpy"):
        return None
    return np.asarray(expression.value.numpy())


def constant(values: NDArray[Any], dtype: str) -> Any:
    """Make a Relax constant."""
    return relax.const(np.asarray(values, order="C"), dtype)


def is_straight_line(main: Any) -> bool:
    """Report whether a Relax function has no branches, loops, closures or casts of shapes."""
    bindings = [binding for block in main.body.blocks for binding in block.bindings]
    return all(isinstance(b, relax.VarBinding) and _is_plain(b.value) for b in bindings)


def _is_plain(value: Any) -> bool:
    kinds = (relax.Call, relax.Tuple, relax.TupleGetItem, tvm.ir.Constant, relax.Var, relax.ShapeExpr)
    return isinstance(value, kinds)


def _arguments(value: Any) -> list[Any]:
    if isinstance(value, relax.Call):
        return [leaf for argument in value.args for leaf in _arguments(argument)]
    if isinstance(value, relax.Tuple):
        return [leaf for field in value.fields for leaf in _arguments(field)]
    if isinstance(value, relax.TupleGetItem):
        return _arguments(value.tuple_value)
    return [value]
