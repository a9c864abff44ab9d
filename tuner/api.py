"""The calls that programs and the command line use."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import psutil

from records.store import RecordStore
from search_space.hardware import resolve_target
from search_space.kinds import space_of
from search_space.tvm_api import IRModule, PrimFunc
from search_space.workload import workload_of
from tuner.acceptance.after_run import AfterRun
from tuner.build_only import BuildReport, BuiltTask, build_only
from tuner.choice import Chooser, open_records
from tuner.compilation import compile_model
from tuner.compiled_model import CompiledModel
from tuner.errors import UserError
from tuner.events import Listener, ignore
from tuner.extract import LoweredModel, lower, tasks_of
from tuner.frontends import Model, Operators, Program, load
from tuner.frontends.relax_module import from_relax
from tuner.frontends.torch_export import from_torch, is_exported
from tuner.measure.base import Measurer
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions
from tuner.measure.references import memory_needed
from tuner.measure.timing import NO_RACE, RacePolicy
from tuner.objective import Objective, objective_of
from tuner.options import TuneOptions, checked_threads
from tuner.result import TuneResult
from tuner.session import Session
from tuner.tasks import Task, merge
from tuner.units import bytes_text

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Workloads: TypeAlias = "str | Path | Program | IRModule | PrimFunc | Task | ExportedProgram"
"""What may be tuned or compiled: a command-line text or path, a model (:class:`tuner.frontends.Program`), an
IRModule, a PrimFunc, a :class:`tuner.tasks.Task` or a ``torch.export.ExportedProgram``."""


def tune(
    workloads: Workloads | Sequence[Workloads],
    target: str | None = None,
    options: TuneOptions | None = None,
    *,
    listener: Listener = ignore,
    objective: Objective | Callable[[Sequence[float]], float] | None = None,
) -> TuneResult:
    """Tune models or operators on this machine.

    Args:
        workloads: One or several models or operators.
        target: TVM target text; this machine's CPU when absent.
        options: Budget, log, seed and the like.
        listener: Told about progress.
        objective: Overrides ``options.objective``; a function gets the models' latencies in seconds.

    Returns:
        What was reached; the log (``options.log``) holds every measurement.

    Raises:
        UserError: If something that was asked for is impossible.
        JobFailed: If the run could not be carried out.
    """
    started = time.monotonic()
    options = options or TuneOptions()
    resolved = target_of(target, options.threads)
    cuts = cuts_of_all(workloads, options.input_shapes)
    models = [cut for cut in cuts if isinstance(cut, LoweredModel)]
    chosen = objective_of(objective) if callable(objective) else objective
    chosen = chosen or objective_of(options.objective)
    acceptance = None
    kind = str(resolved.kind.name)
    is_here = options.measure == "local" and kind == "llvm"
    if options.accept and models and options.log is not None and is_here:
        acceptance = AfterRun(models, resolved, str(options.log), options.seconds, started)
    tasks = _tasks(cuts)
    if not options.measure.startswith("replay:"):
        _refuse_too_large(tasks)
    racing = "racing" not in options.disable
    with measurer_of(options.measure, options.rules, racing, kind, options.cache) as measurer:
        reserved = 0.0 if acceptance is None else acceptance.reserved_seconds
        session = Session(
            tasks,
            resolved,
            options,
            measurer,
            listener,
            chosen,
            reserved_seconds=reserved,
            started=started,
        )
        result = session.run()
        return result if acceptance is None else acceptance.finish(session, result)


def compile(
    workload: Workloads,
    target: str | None = None,
    records: str | Path | RecordStore | TuneResult | Sequence[str | Path] | None = None,
    *,
    threads: int | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    predict: bool = True,
) -> CompiledModel:
    """Compile a model or an operator with the best schedules that are known.

    Args:
        workload: What to compile.
        target: TVM target text; this machine's CPU when absent.
        records: Logs or stores to look schedules up in; the result of :func:`tune` stands for its log.
        threads: Threads that kernels use; every CPU of this process when absent.
        input_shapes: Shapes for the inputs that a model leaves open.
        predict: Whether what has no record is scheduled by prediction instead of left untuned.

    Returns:
        The model; ``coverage`` says where every task's schedule comes from.

    Raises:
        UserError: If something that was asked for is impossible.
        JobFailed: If a schedule does not compile.
    """
    resolved = target_of(target, threads)
    program = program_of(workload, input_shapes)
    _refuse_unknown_inputs(input_shapes, [program])
    if records is not None and not isinstance(records, (str, Path, TuneResult, Sequence)):
        return compile_model(program, resolved, Chooser(resolved, [records], predict))
    with open_records(_places(records)) as stores:
        return compile_model(program, resolved, Chooser(resolved, stores, predict))


def target_of(text: str | None, threads: int | None) -> Any:
    """Resolve a target text.

    Args:
        text: As for :func:`search_space.hardware.resolve_target`.
        threads: Threads that kernels use; every CPU of this process when absent.

    Raises:
        UserError: If the target or the thread count is impossible, or nothing can be tuned for the target.
    """
    checked_threads(threads)
    try:
        resolved = resolve_target(text, threads)
        space_of(str(resolved.kind.name))
    except ValueError as error:
        raise UserError(str(error)) from error
    return resolved


def program_of(workload: Workloads, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Program:
    """Read anything that can be tuned or compiled."""
    if isinstance(workload, (str, Path)):
        return load(str(workload), input_shapes)
    if isinstance(workload, (Model, Operators)):
        return workload
    if isinstance(workload, Task):
        return Operators(workload.name, (workload.workload,))
    if isinstance(workload, PrimFunc):
        return Operators("function", (workload_of(workload, "function"),))
    if isinstance(workload, IRModule):
        return from_relax(workload, "model")
    if is_exported(workload):
        return from_torch(workload)
    raise UserError(
        f"cannot tune a {type(workload).__name__}: give a text, a model, an IRModule, a PrimFunc or "
        "an ExportedProgram of PyTorch"
    )


def tasks_of_all(
    workloads: Workloads | Sequence[Workloads], input_shapes: Mapping[str, Sequence[int]] | None = None
) -> list[Task]:
    """List the tasks of several workloads, equal ones joined."""
    return _tasks(cuts_of_all(workloads, input_shapes))


def cuts_of_all(
    workloads: Workloads | Sequence[Workloads], input_shapes: Mapping[str, Sequence[int]] | None = None
) -> list[LoweredModel | Operators | Task]:
    """Read several workloads and cut the models among them into functions."""
    several = workloads if isinstance(workloads, (list, tuple)) else [workloads]
    programs = [w if isinstance(w, Task) else program_of(w, input_shapes) for w in several]
    _refuse_unknown_inputs(input_shapes, programs)
    return [lower(program) if isinstance(program, Model) else program for program in programs]


def _refuse_unknown_inputs(
    shapes: Mapping[str, Sequence[int]] | None, programs: Sequence[Program | Task]
) -> None:
    """Refuse a shape for an input that no workload leaves open."""
    known = [name for program in programs if isinstance(program, Model) for name in program.shapeable]
    for name in shapes or {}:
        if name not in known:
            remedy = f"inputs are {', '.join(known)}" if known else "only ONNX models leave shapes open"
            raise UserError(f"--input-shape {name}=...: no workload has an input of that name; {remedy}")


def _refuse_too_large(tasks: Sequence[Task]) -> None:
    """Refuse what cannot be measured here, before anything is measured."""
    available = psutil.virtual_memory().total
    for task in tasks:
        needed = memory_needed(task.workload)
        if needed > available:
            raise UserError(
                f"{task.name}: measuring it takes {bytes_text(needed)} of memory, this machine has "
                f"{bytes_text(available)}: name a smaller one"
            )


def _tasks(cuts: Sequence[LoweredModel | Operators | Task]) -> list[Task]:
    return merge(task for cut in cuts for task in ([cut] if isinstance(cut, Task) else tasks_of(cut)))


def build(
    workloads: Workloads | Sequence[Workloads],
    target: str | None = None,
    options: TuneOptions | None = None,
    *,
    listener: Callable[[BuiltTask], None] = lambda task: None,
) -> BuildReport:
    """Build the candidates that a tuning run would measure first, and run none.

    Args:
        workloads: One or several models or operators.
        target: TVM target text; its device need not be on this machine.
        options: Budget, seed and the like.
        listener: Told about every task that is done.

    Returns:
        How many were built, why others failed, and what the compiler reported.

    Raises:
        UserError: If something that was asked for is impossible.
        JobFailed: If nothing can be built on this machine.
    """
    options = options or TuneOptions()
    resolved = target_of(target, options.threads)
    return build_only(tasks_of_all(workloads, options.input_shapes), resolved, options, listener)


def measurer_of(
    where: str, rules: str = "", racing: bool = True, kind: str = "llvm", cache: str = "warm"
) -> Measurer:
    """Make the measurer that an option names.

    Args:
        where: ``local``, ``rpc://host:port/key``, or ``replay:LOG`` to answer from a log.
        rules: A user's own sketch rules.
        racing: Whether clearly slower candidates stop early; else each gets the same repeats.
        kind: Kind of the target; where candidates run locally, it says on what.
        cache: State of the caches before each call: ``warm`` or ``flushed``.

    Raises:
        JobFailed: If the device of the target is not on this machine.
        UserError: If there is no such place, or nothing in the log.
    """
    options = MeasureOptions(rules=rules, race=replace(RacePolicy() if racing else NO_RACE, cache=cache))
    if where == "local" and kind == "cuda":
        from tuner.measure.cuda.measurer import DeviceMeasurer, require_device

        require_device()
        return DeviceMeasurer(options.for_kind(kind))
    if where == "local":
        return LocalMeasurer(options)
    if where.startswith("rpc://"):
        from tuner.measure.rpc.measurer import RpcMeasurer

        return RpcMeasurer(where, options)
    if where.startswith("replay:"):
        from tuner.measure.replay_log import replay_of

        return replay_of(where.removeprefix("replay:"))
    raise UserError(f"unknown measurer {where!r}: use local, rpc://host:port/key or replay:LOG")


def _places(records: Any) -> list[str]:
    if records is None:
        return []
    if isinstance(records, (str, Path)):
        return [str(records)]
    if isinstance(records, TuneResult):
        if records.log is None:
            raise UserError("the run kept no log: give TuneOptions(log=...) to compile with its records")
        return [records.log]
    return [str(place) for place in records]
