"""Takes the weights out of a module, so that code and weights are stored and loaded apart.

Inside a shared library 430 MB of weights take 18 s to write and 6 s to load; as plain bytes behind the
library they take what the disk takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import IRModule, tvm
from tuner.graph.rewriter import array_of, is_straight_line

relax = tvm.relax

SMALLEST_BYTES = 64
"""Smaller constants stay in the code; a parameter costs the virtual machine an instruction."""


def lift_weights(module: IRModule) -> tuple[IRModule, list[NDArray[Any]]]:
    """Make the constants of ``main`` one more parameter, a tuple.

    Args:
        module: A lowered module.

    Returns:
        The module whose ``main`` takes the tuple last, and the arrays of the tuple. Without
        constants, or with control flow, the module as it is and no arrays.
    """
    main = module["main"]
    if not is_straight_line(main):
        return module, []
    constants = _constants(main)
    if not constants:
        return module, []
    weights = relax.Var("weights", relax.TupleType([constant.ty for constant in constants]))
    positions = {constant: index for index, constant in enumerate(constants)}
    builder = relax.BlockBuilder()
    values: dict[Any, Any] = {}
    fetched: dict[int, Any] = {}

    def replace(expression: Any) -> Any:
        if isinstance(expression, relax.Var):
            return values.get(expression, expression)
        if expression in positions:
            index = positions[expression]
            if index not in fetched:
                fetched[index] = builder.emit(relax.TupleGetItem(weights, index))
            return fetched[index]
        if isinstance(expression, relax.Tuple):
            return relax.Tuple([replace(field) for field in expression.fields])
        if isinstance(expression, relax.TupleGetItem):
            return relax.TupleGetItem(replace(expression.tuple_value), expression.index)
        if isinstance(expression, relax.Call):
            arguments = [replace(argument) for argument in expression.args]
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
        return expression

    with builder.function("main", [*main.params, weights]):
        with builder.dataflow():
            for block in main.body.blocks:
                for binding in block.bindings:
                    values[binding.var] = builder.emit(replace(binding.value))
            output = builder.emit_output(replace(main.body.body))
        builder.emit_func_output(output)
    lifted = builder.get()["main"]
    result = IRModule(dict(module.functions), attrs=module.attrs)
    result["main"] = lifted.with_attrs(main.attrs) if main.attrs else lifted
    arrays = [array for constant in constants if (array := array_of(constant)) is not None]
    return result, arrays


def _constants(main: Any) -> list[Any]:
    found: dict[Any, None] = {}

    def visit(expression: Any) -> None:
        array = array_of(expression)
        if array is not None and np.asarray(array).nbytes >= SMALLEST_BYTES:
            found.setdefault(expression)

    relax.analysis.post_order_visit(main, visit)
    return list(found)
