"""From a workload to its sketches, and from a plan to a scheduled module."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from search_space.generate import Rule, generate, workload_sketches
from search_space.hardware import Machine, hardware_of
from search_space.kinds import Space, space_of
from search_space.rewrites.base import Rewrite
from search_space.rules.tensorize import TensorizeStep
from search_space.sketch import Sketch
from search_space.tensorize.registry import ensure_registered
from search_space.tvm_api import IRModule, Schedule, Trace, load_json, save_json, tvm
from search_space.user_rules import is_users, load_rules
from search_space.workload import Workload, workload_of

Plan = Mapping[str, Any]
"""How to schedule a workload, as JSON values: ``{"kind": "default"}``, ``{"kind": "sketch",
"sketch": name, "row": [...]}`` or ``{"kind": "trace", "base": program or null, "trace": [...]}``."""

DEFAULT_PLAN: dict[str, Any] = {"kind": "default"}


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """A workload on a target, with its sketches by name.

    Attributes:
        workload: The program.
        target: The TVM target.
        hardware: Its limits.
        sketches: Name to sketch, in the generator's order.
        programs: Name of a sketch to its rewritten program as JSON, where that is known already.
    """

    workload: Workload
    target: Any
    hardware: Machine
    sketches: dict[str, Sketch]
    programs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Materialized:
    """A scheduled module and what it takes to make it again.

    Attributes:
        module: IRModule whose ``main`` has the workload's parameters.
        trace: The schedule's trace as JSON text; None for the untuned program.
        base: Program JSON that the trace applies to, or None for the workload's own.
        tolerance_scale: How much larger a rounding error the program may have (see ``Rewrite``).
    """

    module: Any
    trace: str | None
    base: str | None
    tolerance_scale: float = 1.0


def context_of(workload: Workload, target: Any, rules: Sequence[Rule[Any]] = ()) -> Context:
    """Derive the sketches of a workload for a target.

    Args:
        workload: The program.
        target: The TVM target.
        rules: A user's own rules (see :mod:`search_space.user_rules`): tried before ours on the workload's
            own program; what they derive comes besides our sketches.

    Returns:
        The context.

    Raises:
        RulesRefused: If one of the user's rules fails.
    """
    hardware = hardware_of(target)
    space = space_of(str(target.kind.name))
    constants = constants_ahead(workload, target)
    sketches = workload_sketches(workload, hardware, space.rules, constants)

    def derive(rewrite: Rewrite) -> list[Sketch]:
        return generate(
            rewrite.func,
            workload.name,
            workload.flops,
            hardware,
            space.rules,
            prefix=rewrite.name,
            rewritten=True,
            tolerance_scale=rewrite.tolerance_scale,
            constants=constants,
        )

    others = space.rewrites(workload.func)
    for rewrite in others:
        sketches += derive(rewrite)
    for rewrite in _fitted(workload.func, others, space, hardware):
        sketches += [s for s in derive(rewrite) if any(isinstance(step, TensorizeStep) for step in s.steps)]
    if rules:
        own = workload_sketches(workload, hardware, (*rules, *space.rules), constants)
        sketches += [s for s in own if is_users(s.name)]
    return Context(workload, target, hardware, {s.name: s for s in sketches})


def _fitted(func: Any, others: Sequence[Rewrite], space: Space, hardware: Any) -> list[Rewrite]:
    """Rewrites with what they need for intrinsics, before another rewrite and after it."""
    found: list[Rewrite] = []
    for rewrite in (Rewrite("", func, 1.0), *others):
        fit = space.fitted(rewrite.func, hardware)
        if fit is None:
            continue
        name = "-".join(word for word in (rewrite.name, fit.name) if word)
        found.append(replace(fit, name=name, tolerance_scale=rewrite.tolerance_scale))
        for later in space.rewrites(fit.func) if not rewrite.name else ():
            found.append(replace(later, name=f"{fit.name}-{later.name}"))
    return found


def constants_ahead(workload: Workload, target: Any) -> tuple[int, ...]:
    """Return the arguments whose packing is left to the compiler of the model: weights, on CPUs."""
    return workload.constants if str(target.kind.name) == "llvm" else ()


def prepare(program: str, target: str, rules: str = "") -> Context:
    """Read a workload and a target back from text and derive the sketches.

    Args:
        program: :meth:`search_space.workload.Workload.program`.
        target: :func:`search_space.hardware.target_text`.
        rules: ``file.py:NAME`` of a user's own sketch rules, or empty.

    Returns:
        The context; the same text gives the same sketches. Rewritten programs are written out here, once
        and not for every candidate.
    """
    workload = workload_of(load_json(program), "workload")
    context = context_of(workload, tvm.target.Target(json.loads(target)), load_rules(rules))
    texts: dict[int, str] = {}
    for sketch in context.sketches.values():
        if sketch.rewritten and id(sketch.func) not in texts:
            texts[id(sketch.func)] = save_json(sketch.func)
    programs = {s.name: texts[id(s.func)] for s in context.sketches.values() if s.rewritten}
    return replace(context, programs=programs)


def sketch_plan(sketch: Sketch, row: Any) -> dict[str, Any]:
    """Return the plan of one candidate of a sketch."""
    return {"kind": "sketch", "sketch": sketch.name, "row": [int(v) for v in row]}


def materialize(context: Context, plan: Plan) -> Materialized:
    """Schedule a workload as a plan says.

    Args:
        context: See :func:`prepare`.
        plan: See :data:`Plan`.

    Returns:
        The module, ready to compile.

    Raises:
        ValueError: If the plan's kind or sketch is unknown, or its row does not fit the sketch.
        tvm.s_tir.ScheduleError: If a primitive refuses.
    """
    kind, target_kind = plan.get("kind"), str(context.target.kind.name)
    if kind == "default":
        return Materialized(untuned_module(context.workload.func, target_kind), None, None)
    if kind == "sketch":
        sketch = context.sketches.get(str(plan["sketch"]))
        if sketch is None:
            raise ValueError(f"no sketch is named {plan['sketch']!r}; there are {sorted(context.sketches)}")
        sch = sketch.schedule(np.array(plan["row"], dtype=np.int32))
        base = context.programs.get(sketch.name) if sketch.rewritten else None
        if sketch.rewritten and base is None:
            base = save_json(sketch.func)
        return Materialized(
            finish_module(sch.mod, target_kind), trace_text(sch.trace), base, sketch.tolerance_scale
        )
    if kind == "trace":
        base = plan.get("base")
        func = load_json(str(base)) if base else context.workload.func
        # The module must stay referenced: TVM changes a module that nobody else holds in place.
        module = _module(func)
        sch = Schedule(module, debug_mask="none", error_render_level="fast")
        ensure_registered(plan["trace"])
        Trace.apply_json_to_schedule(plan["trace"], sch)
        return Materialized(
            finish_module(sch.mod, target_kind), trace_text(sch.trace), None if base is None else str(base)
        )
    raise ValueError(f"a plan of kind {kind!r} is unknown: expected default, sketch or trace")


def trace_text(trace: Any) -> str:
    """Return a trace as JSON text of plain values."""
    return json.dumps(_plain(trace.as_json()), separators=(",", ":"))


def _module(func: Any) -> Any:
    return IRModule({"main": func.with_attr("global_symbol", "main")})


def untuned_module(func: Any, target_kind: str) -> Any:
    """Return the module of an unscheduled function as it runs untuned on a kind of target."""
    return space_of(target_kind).untuned(_module(func))


def finish_module(module: Any, target_kind: str) -> Any:
    """Apply what every scheduled module gets before it is compiled for a kind of target."""
    return space_of(target_kind).finish(module)


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "items"):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "__iter__"):
        return [_plain(v) for v in value]
    if hasattr(value, "value"):
        return _plain(value.value)
    return int(value)
