"""Cuts models into tasks: simplify, lay out, lower, fuse, and describe the functions that result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_space.tvm_api import IRModule, PrimFunc, tvm
from search_space.workload import Workload, workload_of
from tuner.errors import UserError
from tuner.frontends.program import Model, Operators, Program
from tuner.graph.channels_last import channels_last
from tuner.graph.legalise import legalise
from tuner.graph.simplify import finish, simplify
from tuner.tasks import Task, merge
from tuner.tensor_spec import TensorSpec

relax = tvm.relax


@dataclass(frozen=True, slots=True, eq=False)
class LoweredModel:
    """A model as calls of fused TensorIR functions.

    Attributes:
        name: The model's name.
        module: ``main`` in Relax and the functions it calls.
        workloads: What each function computes, by its symbol in ``module``; arguments that are weights
            in every call are its constants.
        calls: How often ``main`` calls each function.
        inputs: Parameters of ``main``.
        outputs: Results of ``main``.
    """

    name: str
    module: IRModule
    workloads: Mapping[str, Workload]
    calls: Mapping[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def lower(model: Model) -> LoweredModel:
    """Bring a model into the form that is tuned and compiled.

    Args:
        model: As imported.

    Returns:
        The model with constants folded, channels last, operators lowered and fused. Reshapes are
        views and no longer functions.

    Raises:
        UserError: If an operator has no lowering to TensorIR; it is named.
    """
    module = finish(channels_last(simplify(model.module)))
    transform = relax.transform
    module = _fused(legalise(module))
    module = transform.RewriteDataflowReshape()(module)
    counts, constants = _calls(module)
    _check_lowered(module, model.name)
    functions: dict[Any, Any] = {}
    workloads: dict[str, Workload] = {}
    for variable, func in module.functions.items():
        symbol = variable.name_hint
        if not isinstance(func, PrimFunc):
            functions[variable] = func
        elif symbol in counts:
            func = _narrow(func)
            try:
                workloads[symbol] = workload_of(func, describe(symbol, func), constants[symbol])
            except ValueError as error:
                raise UserError(f"{model.name}: {error}") from error
            functions[variable] = func
    return LoweredModel(
        model.name,
        IRModule(functions, attrs=module.attrs),
        workloads,
        counts,
        model.inputs,
        model.outputs,
    )


def tasks_of(program: Program | LoweredModel) -> list[Task]:
    """List what there is to tune.

    Args:
        program: A model, lowered or not, or operators.

    Returns:
        One task per distinct workload; its weight is the number of calls.

    Raises:
        UserError: If the model cannot be lowered.
    """
    if isinstance(program, Operators):
        return merge(Task(w, (program.name,), (1,)) for w in program.workloads)
    lowered = lower(program) if isinstance(program, Model) else program
    return merge(
        Task(workload, (lowered.name,), (lowered.calls[symbol],))
        for symbol, workload in lowered.workloads.items()
    )


def describe(symbol: str, func: PrimFunc) -> str:
    """Name a fused function by its operators, the shapes of its first two arguments and of its result.

    Args:
        symbol: TVM's name, such as ``fused_conv2d1_add3_relu``.
        func: The function.

    Returns:
        A text such as ``conv2d_add_relu:1x56x56x64,3x3x64x64->1x56x56x64``.
    """
    words = re.sub(r"(?<=[a-zA-Z])\d+(?=_|$)", "", symbol.removeprefix("fused_"))
    shapes = ["x".join(str(int(e)) for e in p.shape) or "scalar" for p in func.params if hasattr(p, "shape")]
    return f"{words}:{','.join(shapes[:-1][:2])}->{shapes[-1]}"


def _fused(module: IRModule) -> IRModule:
    transform = relax.transform
    passes = [
        transform.AnnotateTIROpPattern(),
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
    ]
    return tvm.ir.transform.Sequential(passes)(module)


def _calls(module: IRModule) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    counts: dict[str, int] = {}
    constants: dict[str, tuple[int, ...]] = {}

    def visit(expression: Any) -> None:
        if not isinstance(expression, relax.Call) or expression.op != tvm.ir.Op.get("relax.call_tir"):
            return
        symbol = expression.args[0].name_hint
        arguments = expression.args[1].fields
        fixed = {i for i, argument in enumerate(arguments) if isinstance(argument, tvm.ir.Constant)}
        counts[symbol] = counts.get(symbol, 0) + 1
        constants[symbol] = tuple(sorted(fixed & set(constants.get(symbol, fixed))))

    relax.analysis.post_order_visit(module["main"], visit)
    return counts, constants


def _check_lowered(module: IRModule, name: str) -> None:
    left: list[str] = []

    def visit(expression: Any) -> None:
        if isinstance(expression, relax.Call) and isinstance(expression.op, tvm.ir.Op):
            operator = str(expression.op.name)
            if operator not in (
                "relax.call_tir",
                "relax.reshape",
                "relax.call_pure_packed",
                "relax.shape_of",
            ):
                shapes = [str(getattr(argument.ty, "shape", "-")) for argument in expression.args]
                left.append(f"{operator.removeprefix('relax.')} with shapes {' '.join(shapes)}")

    relax.analysis.post_order_visit(module["main"], visit)
    if left:
        raise UserError(f"{name}: operator {left[0]} cannot be lowered to TensorIR")


def _narrow(func: PrimFunc) -> PrimFunc:
    """Count in 32 bits, as named operators do, unless the data itself is 64-bit integers."""
    if any(str(getattr(p, "dtype", "")) == "int64" for p in func.params):
        return func
    module = tvm.tirx.transform.ForceNarrowIndexToInt32()(IRModule({"main": func}))
    return module["main"]
