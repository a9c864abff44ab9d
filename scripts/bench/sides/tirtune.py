"""Our own kernels, from the records of a log, by the path that ``tuner.compile`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.bench.problem import Array, Problem
from scripts.bench.sides.base import NoKernel, Variant
from scripts.bench.sides.kernel import trivial, variant_of
from search_space.hardware import resolve_target
from search_space.tvm_api import IRModule
from tuner.choice import Chooser, open_records
from tuner.measure.build import compile_module
from tuner.workloads import named_workload

__all__ = ["load", "scheduled", "trivial"]


def load(problem: Problem, arrays: Mapping[str, Array], options: Mapping[str, Any]) -> list[Variant]:
    """Build the best kernel of a log.

    Args:
        problem: The operator.
        arrays: Its inputs.
        options: ``log``: path of the log, or None to schedule by prediction; ``threads``.
    """
    function, target, source = scheduled(problem.text, options["log"], options["threads"])
    executable = compile_module(IRModule({"main": function}), target)
    return [variant_of(source, executable.jit()["main"], problem, arrays)]


def scheduled(text: str, log: str | None, threads: int) -> tuple[Any, Any, str]:
    """Return the scheduled PrimFunc, its target, and where the schedule comes from.

    Raises:
        NoKernel: If the log has no record that applies.
    """
    target = resolve_target(None, threads)
    workload = named_workload(text)
    with open_records([log] if log is not None else []) as stores:
        choice = Chooser(target, stores, predict=log is None)(workload)
    if log is not None and choice.source != "tuned":
        raise NoKernel(f"no record applies: {choice.reason}")
    function = workload.func if choice.func is None else choice.func
    return function.with_attr("global_symbol", "main"), target, choice.source
