"""Runs the stages of a schedule that only touch weights once, when the model is compiled.

before::

    main(x, w, out): panels = pack(w); out = compute(x, panels)

after::

    main(x, panels, out): out = compute(x, panels)

and the panels are stored in place of the weights: packed once, no copy at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.candidate import constants_ahead
from search_space.tvm_api import IRModule, PrimFunc, tirx, tvm, walk
from search_space.workload import Workload
from tuner.graph.rewriter import Rewriter, array_of, constant, name_of

relax = tvm.relax


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A function cut in two.

    Attributes:
        pack: Takes the weights at ``sources`` and writes the packed buffers; serial.
        compute: Takes the arguments at ``kept``, then the packed buffers, then the outputs.
        sources: Positions of the arguments that ``pack`` reads.
        kept: Positions of the input arguments that ``compute`` still reads.
        shapes: Shape and element type of each packed buffer.
    """

    pack: PrimFunc
    compute: PrimFunc
    sources: tuple[int, ...]
    kept: tuple[int, ...]
    shapes: tuple[tuple[tuple[int, ...], str], ...]


def split(func: PrimFunc, constants: Sequence[int], outputs: int = 1) -> Split | None:
    """Separate the leading stages that read nothing but weights.

    Args:
        func: A scheduled function; its parameters are inputs, then outputs.
        constants: Positions of the parameters that are weights.
        outputs: Number of outputs.

    Returns:
        The two functions, or ``None`` if no stage touches weights only.
    """
    root = getattr(func.body, "block", None)
    if root is None or root.iter_vars or not isinstance(root.body, tirx.SeqStmt):
        return None
    weights = [func.params[position] for position in constants]
    local = list(root.alloc_buffers)
    stages = [(stage, *_buffers(stage)) for stage in root.body.seq]
    packed: list[Any] = []
    front: list[Any] = []
    rest: list[tuple[Any, list[Any], list[Any]]] = []
    for stage, reads, writes in stages:
        others = [w for s, _, written in stages if not s.same_as(stage) for w in written]
        alone = all(_among(b, local) and not _among(b, others) for b in writes)
        if writes and alone and all(_among(b, weights + packed + writes) for b in reads):
            front.append(stage)
            packed.extend(b for b in writes if not _among(b, packed))
        else:
            rest.append((stage, reads, writes))
    needed = [b for b in packed if any(_among(b, reads) for _, reads, _ in rest)]
    if not front or not rest or not needed:
        return None
    read_in_front = [b for stage in front for b in _buffers(stage)[0]]
    sources = tuple(p for p in constants if _among(func.params[p], read_in_front))
    still = [b for _, reads, _ in rest for b in reads]
    inputs = range(len(func.params) - outputs)
    kept = tuple(p for p in inputs if p not in sources or _among(func.params[p], still))
    pack = _function(
        func,
        [*(func.params[p] for p in sources), *needed],
        [_serial(stage) for stage in front],
        [b for b in packed if not _among(b, needed)],
        root,
    )
    compute = _function(
        func,
        [*(func.params[p] for p in kept), *needed, *list(func.params)[len(func.params) - outputs :]],
        [stage for stage, _, _ in rest],
        [b for b in local if not _among(b, packed)],
        root,
    )
    shapes = tuple((tuple(int(e) for e in b.shape), str(b.dtype)) for b in needed)
    return Split(pack, compute, sources, kept, shapes)


def split_workload(func: PrimFunc, workload: Workload, target: Any) -> Split | None:
    """Do what :func:`split` does for a schedule of a workload whose outputs are its last parameters."""
    constants = constants_ahead(workload, target)
    roles = [argument.is_output for argument in workload.args]
    if not constants or roles != sorted(roles):
        return None
    return split(func, constants, sum(roles))


def prepack(module: IRModule, workloads: Mapping[str, Workload], target: Any) -> IRModule:
    """Pack the weights of every call whose schedule packs them, and store the result instead.

    Args:
        module: A model whose functions are scheduled.
        workloads: What each function computes; their constants are weights in every call.
        target: What to compile the packing for; it runs here.

    Returns:
        The model; functions that pack only weights take packed weights.
    """
    splits: dict[str, Split] = {}
    for variable, func in module.functions.items():
        symbol = variable.name_hint
        if isinstance(func, PrimFunc) and symbol in workloads:
            found = split_workload(func.without_attr("global_symbol"), workloads[symbol], target)
            if found is not None:
                splits[symbol] = found
    if not splits:
        return module
    packers = IRModule({s: part.pack.with_attr("global_symbol", s) for s, part in splits.items()})
    library = tvm.compile(packers, target)

    def rule(rewriter: Rewriter, call: Any) -> Any:
        symbol = str(call.args[0].name_hint) if name_of(call) == "relax.call_tir" else ""
        part = splits.get(symbol)
        if part is None:
            return None
        arguments = list(call.args[1].fields)
        weights = [array_of(arguments[p]) for p in part.sources]
        panels = [np.zeros(shape, dtype) for shape, dtype in part.shapes]
        packed = _run(library[symbol], [w for w in weights if w is not None], panels)
        operands = [arguments[p] for p in part.kept]
        operands += [constant(a, dtype) for a, (_, dtype) in zip(packed, part.shapes, strict=True)]
        return rewriter.call_function(part.compute, f"{symbol}_packed", operands, call.ty_args[0])

    return Rewriter([rule]).run(module)


def _run(function: Any, weights: list[NDArray[Any]], panels: list[NDArray[Any]]) -> list[NDArray[Any]]:
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in (*weights, *panels)]
    function(*tensors)
    return [tensor.numpy() for tensor in tensors[len(weights) :]]


def _function(
    like: PrimFunc, params: list[Any], stages: list[Any], allocated: list[Any], root: Any
) -> PrimFunc:
    body = stages[0] if len(stages) == 1 else tirx.SeqStmt(stages)
    block = tvm.s_tir.SBlock([], [], [], "root", body, None, allocated, [], root.annotations)
    func = PrimFunc(params, tvm.s_tir.SBlockRealize([], True, block), attrs=like.attrs)
    return func.without_attr("global_symbol") if func.attrs and "global_symbol" in func.attrs else func


def _serial(stage: Any) -> Any:
    """Take the threads out: the pool must not start before the model's thread count is known."""
    if not isinstance(stage, tirx.For):
        return stage
    parallel = int(stage.kind) == int(tirx.ForKind.PARALLEL)
    kind = tirx.ForKind.SERIAL if parallel else stage.kind
    return tirx.For(
        stage.loop_var,
        stage.min,
        stage.extent,
        kind,
        _serial(stage.body),
        stage.thread_binding,
        stage.annotations,
    )


def _buffers(stage: Any) -> tuple[list[Any], list[Any]]:
    reads: list[Any] = []
    writes: list[Any] = []

    def visit(node: Any) -> None:
        # Regions say what blocks touch through intrinsics; they name written buffers too.
        if isinstance(node, (tvm.ir.TensorLoad, tvm.ir.TensorRegion)) and not _among(node.source, reads):
            reads.append(node.source)
        elif isinstance(node, tirx.BufferStore) and not _among(node.buffer, writes):
            writes.append(node.buffer)

    walk(stage, visit)
    return reads, writes


def _among(buffer: Any, buffers: Sequence[Any]) -> bool:
    return any(buffer.same_as(other) for other in buffers)
