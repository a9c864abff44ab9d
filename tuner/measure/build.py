"""From a scheduled module to machine code in memory: the one pipeline of measurement and shipping."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import ceil
from typing import Any

from search_space.kinds import space_of
from search_space.tvm_api import tirx, tvm
from tuner.measure.lowering import cpu_pipeline, gpu_pipeline

PIPELINE = "tirtune"
"""Name under which :func:`register_pipeline` makes the pipeline known to ``tvm.compile``."""

DEVICE_PIPELINE = "tirtune-device"
"""The same for what runs on a device."""

LLVM_OPTIONS = (
    "-vectorize-slp:bool=0",
    "-scalar-evolution-max-cast-depth:uint=2",
    "-disable-lsr:bool=1",
    "-disable-post-ra:bool=1",
)
"""What LLVM leaves out, because it costs compile time and gains nothing on scheduled loops: superword
vectorisation (sketches say what is a vector), proofs about deeply nested index sums, loop strength reduction
(which splits addresses that fit an addressing mode), scheduling after register allocation (processors that
reorder do that themselves). docs/measurement.md has the numbers."""

STATEMENT_LIMIT = 20_000
"""Innermost statements after unrolling above which a candidate is refused; a compiled kernel of
this size is some 200 KiB of machine code, far beyond any instruction cache, and minutes of LLVM."""

_LANES = 16


class TooLarge(ValueError):
    """A candidate whose unrolled body would occupy the compiler for minutes."""


@dataclass(frozen=True, slots=True)
class Built:
    """A kernel that can be called.

    Attributes:
        library: The runtime module.
        function: Its ``main``, machine code finished.
        stages: Seconds spent in ``lower``, ``llvm`` and ``load``.
    """

    library: Any
    function: Any
    stages: dict[str, float]


def compile_target(target: Any) -> Any:
    """Return a target with the LLVM options of measured kernels.

    Args:
        target: A resolved target; options that it names itself are kept.
    """
    if target.kind.name != "llvm":
        return target
    spec = {str(name): value for name, value in target.export().items()}
    own = [str(option) for option in spec.get("cl-opt") or ()]
    named = {option.partition(":")[0] for option in own}
    spec["cl-opt"] = own + [o for o in LLVM_OPTIONS if o.partition(":")[0] not in named]
    return tvm.target.Target(spec)


def register_pipeline() -> str:
    """Make the pipeline known to TVM by name and return the name.

    ``tvm.compile(module, compile_target(target), tir_pipeline=register_pipeline())`` then builds a
    whole model with exactly what was measured. It is TVM's own pipeline without the run-time checks of
    arguments: they take a quarter of the compile time of a kernel, and callers check arguments anyway.
    """
    tvm.tirx.compilation_pipeline.register_tir_pipeline(PIPELINE, cpu_pipeline)
    return PIPELINE


def _compile_for_device(module: Any, target: Any) -> Any:
    from tuner.measure.cuda.build import HOST, register_compiler

    register_compiler()
    tvm.tirx.compilation_pipeline.register_tir_pipeline(DEVICE_PIPELINE, gpu_pipeline)
    whole = target.with_host(tvm.target.Target(HOST))
    with whole, tvm.transform.PassContext(opt_level=3, config=dict(space_of(str(target.kind.name)).lowering)):
        return tvm.compile(module, whole, tir_pipeline=DEVICE_PIPELINE)


def compile_module(module: Any, target: Any) -> Any:
    """Compile a scheduled module exactly as measured kernels are compiled.

    Args:
        module: An IRModule of TensorIR functions.
        target: A resolved target.

    Returns:
        A ``tvm.runtime.Executable``.

    Raises:
        TooLarge: If a function is unrolled beyond :data:`STATEMENT_LIMIT`.
    """
    guard_size(module)
    if target.kind.name != "llvm":
        return _compile_for_device(module, target)
    return tvm.compile(module, compile_target(target), tir_pipeline=register_pipeline())


def build_timed(module: Any, target: Any, name: str = "main") -> Built:
    """Do what :func:`compile_module` does and say where the time went.

    Args:
        module: An IRModule of TensorIR functions.
        target: A resolved CPU target.
        name: The function to finish.

    Returns:
        The callable kernel with processor seconds by stage.

    Raises:
        TooLarge: If a function is unrolled beyond :data:`STATEMENT_LIMIT`.
    """
    guard_size(module)
    target = compile_target(target)
    began = time.process_time()
    lowered = tvm.tirx.transform.BindTarget(target.with_host(target))(module)
    passes, finalise_host, _ = cpu_pipeline()
    host = finalise_host()(passes(lowered))
    after_lower = time.process_time()
    library = tvm.get_global_func(f"target.build.{target.kind.name}")(host, target)
    after_llvm = time.process_time()
    function = library[name]
    stages = {
        "lower": after_lower - began,
        "llvm": after_llvm - after_lower,
        "load": time.process_time() - after_llvm,
    }
    return Built(library, function, stages)


def guard_size(module: Any) -> None:
    """Refuse modules whose unrolled bodies explode.

    Raises:
        TooLarge: With the number of statements and the limit.
    """
    for function in module.functions.values():
        if not isinstance(function, tirx.PrimFunc):
            continue
        count = predicted_statements(function.body)
        if count > STATEMENT_LIMIT:
            raise TooLarge(
                f"{count:.0f} statements after unrolling, the limit is {STATEMENT_LIMIT}: "
                "unroll or vectorise less"
            )


def predicted_statements(body: Any, copies: float = 1.0) -> float:
    """Count the innermost statements of a body after its unrolled and vector loops are expanded.

    Args:
        body: A TensorIR statement.
        copies: How often the statement is repeated by the loops around it.

    Returns:
        Statements, one per 16 lanes of a vector.
    """
    children: list[Any] = []
    if isinstance(body, tirx.For):
        kind = int(body.kind)
        extent = float(int(body.extent)) if isinstance(body.extent, tirx.IntImm) else 1.0
        if kind == int(tirx.ForKind.UNROLLED):
            copies *= extent
        elif kind == int(tirx.ForKind.VECTORIZED):
            copies *= ceil(extent / _LANES)
        children = [body.body]
    elif isinstance(body, tirx.SeqStmt):
        children = list(body.seq)
    elif isinstance(body, tirx.IfThenElse):
        children = [body.then_case, body.else_case]
    else:
        for name in ("block", "body", "init"):
            child = getattr(body, name, None)
            if child is not None:
                children.append(child)
    if not children:
        return copies
    return sum(predicted_statements(child, copies) for child in children if child is not None)
