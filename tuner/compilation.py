"""Compiles models and operators with the schedules that somebody else chose."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_space.candidate import untuned_module
from search_space.error_text import last_line
from search_space.hardware import available_cores, target_text
from search_space.tvm_api import IRModule, PrimFunc, tirx, tvm
from search_space.workload import Workload
from tuner.compiled_model import CompiledModel, Coverage, Description
from tuner.cpu_features import required_features
from tuner.errors import JobFailed, UserError
from tuner.extract import LoweredModel, lower
from tuner.frontends.program import Model, Operators
from tuner.frontends.relax_module import from_relax
from tuner.graph.prepack import prepack
from tuner.graph.straighten import straighten
from tuner.graph.weights import lift_weights
from tuner.measure.build import compile_module, compile_target
from tuner.tensor_spec import TensorSpec

relax = tvm.relax

SOURCES = ("tuned", "predicted", "default")


@dataclass(frozen=True, slots=True)
class Choice:
    """How one workload is to be compiled.

    Attributes:
        func: The scheduled PrimFunc with the workload's parameters; ``None`` for the untuned program.
        source: ``tuned``, ``predicted`` or ``default``.
        reason: Why not something better, or where the schedule comes from.
        seconds: Expected time of one call, if known.
        plan: The schedule as a plan, if it is one.
    """

    func: Any
    source: str
    reason: str
    seconds: float | None = None
    plan: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"source {self.source!r} is not one of {', '.join(SOURCES)}")


Choose = Callable[[Workload], Choice]


def untuned(workload: Workload) -> Choice:
    """Choose the untuned program for every workload."""
    return Choice(None, "default", "no schedule was asked for")


def compile_model(
    program: Model | Operators | LoweredModel | IRModule, target: Any, choose: Choose
) -> CompiledModel:
    """Compile a model, or a single operator, to something that runs.

    Args:
        program: A model as imported or lowered, one operator, or a Relax module.
        target: A resolved TVM target; its ``num-cores`` is the thread count.
        choose: Asked once per distinct workload.

    Returns:
        The model with its coverage.

    Raises:
        UserError: If the program is several operators or cannot be lowered.
        JobFailed: If a chosen schedule does not fit its workload or does not compile.
    """
    lowered = _lowered(program)
    choices: dict[str, Choice] = {}
    for workload in lowered.workloads.values():
        if workload.key not in choices:
            choices[workload.key] = choose(workload)
            _check(workload, choices[workload.key])
    try:
        scheduled = _with_schedules(lowered, choices, str(target.kind.name))
        packed = prepack(scheduled, lowered.workloads, compile_target(target))
        straight = straighten(packed) if target.kind.name == "llvm" else None
        if straight is None:
            module, weights = lift_weights(packed)
        else:
            module, weights = straight.module, [straight.weights]
        executable = compile_module(module, target)
    except Exception as error:
        raise JobFailed(f"{lowered.name} does not compile: {last_line(error)}") from error
    exported = json.loads(target_text(target))
    description = Description(
        name=lowered.name,
        target=target_text(target),
        threads=int(exported.get("num-cores") or available_cores()),
        machine=platform.machine(),
        features=tuple(required_features(compile_target(target))),
        inputs=lowered.inputs,
        outputs=lowered.outputs,
        coverage=_coverage(lowered, choices),
        program=None if straight is None else straight.program,
    )
    return CompiledModel(executable, description, weights)


def _lowered(program: Model | Operators | LoweredModel | IRModule) -> LoweredModel:
    if isinstance(program, LoweredModel):
        return program
    if isinstance(program, Operators):
        if len(program.workloads) != 1:
            names = ", ".join(w.name for w in program.workloads)
            raise UserError(
                f"{program.name} has {len(program.workloads)} functions ({names}): compile them one by one"
            )
        return _wrapped(program.workloads[0])
    return lower(program if isinstance(program, Model) else from_relax(program, "model"))


def _wrapped(workload: Workload) -> LoweredModel:
    """Give an operator a ``main`` that allocates its outputs and calls it."""
    roles = [argument.is_output for argument in workload.args]
    if roles != sorted(roles) or not any(roles):
        raise UserError(
            f"{workload.name} cannot be compiled alone: outputs must be its last parameters and not be read"
        )
    builder = relax.BlockBuilder()
    variable = builder.add_func(workload.func, "operator")
    params = [relax.Var(a.name, relax.TensorType(a.shape, a.dtype)) for a in workload.inputs]
    results = [relax.TensorType(a.shape, a.dtype) for a in workload.outputs]
    with builder.function("main", params):
        with builder.dataflow():
            call = relax.call_tir(variable, params, results if len(results) > 1 else results[0])
            output = builder.emit_output(call)
        builder.emit_func_output(output)
    symbol = variable.name_hint
    inputs, outputs = (
        tuple(TensorSpec(a.name, a.shape, a.dtype) for a in group)
        for group in (workload.inputs, workload.outputs)
    )
    return LoweredModel(workload.name, builder.get(), {symbol: workload}, {symbol: 1}, inputs, outputs)


def _check(workload: Workload, choice: Choice) -> None:
    if choice.func is None:
        return
    shapes = [(tuple(int(e) for e in p.shape), str(p.dtype)) for p in choice.func.params]
    wanted = [(argument.shape, argument.dtype) for argument in workload.args]
    if shapes != wanted:
        raise JobFailed(f"the schedule of {workload.name} has parameters {shapes}, the workload {wanted}")


def _with_schedules(lowered: LoweredModel, choices: Mapping[str, Choice], kind: str) -> IRModule:
    functions: dict[Any, Any] = {}
    for variable, func in lowered.module.functions.items():
        if isinstance(func, PrimFunc):
            chosen = choices[lowered.workloads[variable.name_hint].key].func
            func = untuned_module(func, kind)["main"] if chosen is None else chosen
            func = func.with_attr("global_symbol", variable.name_hint)
            func = func.with_attr("tirx.is_scheduled", tirx.IntImm("bool", True))
        functions[variable] = func
    return IRModule(functions, attrs=lowered.module.attrs)


def _coverage(lowered: LoweredModel, choices: Mapping[str, Choice]) -> tuple[Coverage, ...]:
    calls: dict[str, int] = {}
    names: dict[str, str] = {}
    for symbol, workload in lowered.workloads.items():
        calls[workload.key] = calls.get(workload.key, 0) + lowered.calls[symbol]
        names.setdefault(workload.key, workload.name)
    times = [choices[key].seconds for key in calls]
    total = sum(t * n for t, n in zip(times, calls.values(), strict=True) if t is not None)
    known = total > 0 and all(t is not None for t in times)
    entries: list[Coverage] = []
    for key, count in calls.items():
        choice = choices[key]
        share = choice.seconds * count / total if known and choice.seconds is not None else None
        entries.append(Coverage(names[key], key, count, choice.source, choice.reason, choice.seconds, share))
    return tuple(entries)
