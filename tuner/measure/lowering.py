"""From scheduled TensorIR to what a code generator is given: TVM's passes, less what means nothing here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search_space.tvm_api import tirx, tvm, tvm_ffi, walk_types
from tuner.measure.padding import skip_padding
from tuner.measure.prefetching import prefetch_rows
from tuner.measure.streaming import stream_stores


def gpu_pipeline() -> tuple[Any, Any, Any]:
    """Return TVM's lowering pipeline without the run-time checks of arguments, which callers make.

    Buffers of warps (fragments) are made ready for TVM's pass over them: it looks for the lanes inside of
    their declarations and in every index, but other passes have made the threads the outermost loops and
    have named parts of indices. It parts one buffer of a kernel among the lanes, so it runs once for each.

    Returns:
        The pass over whole modules, and the factories of what finishes host and device functions.
    """
    lower, finalise_host, finalise_device = tvm.tirx.get_tir_pipeline("s_tir")

    def finalise_without_checks() -> Any:
        return tvm.ir.transform.Sequential([tirx.transform.SkipAssert(), finalise_host()])

    def finalise_with_fragments() -> Any:
        parted = tvm.ir.transform.module_pass(_part_fragments, opt_level=0, name="PartFragments")
        return tvm.ir.transform.Sequential([_each(_ready_fragments), parted, finalise_device()])

    return lower, finalise_without_checks, finalise_with_fragments


def _each(change: Callable[[Any], Any]) -> Any:
    """Return a pass that changes every function."""
    return tirx.transform.prim_func_pass(
        lambda func, module, context: change(func), opt_level=0, name=f"tirtune.{change.__name__.strip('_')}"
    )


def _ready_fragments(func: Any) -> Any:
    """Declare a kernel's buffers of the scope ``warp`` at its start, and write its indices out."""
    declared: list[Any] = []
    values: dict[Any, Any] = {}

    def part(block: Any) -> Any:
        left: list[Any] = []
        for statement in block.seq:
            if isinstance(statement, tirx.AllocBuffer) and statement.buffer.scope() == "warp":
                declared.append(statement)
            elif isinstance(statement, tirx.Bind) and str(statement.var.ty).startswith("int"):
                values[statement.var] = statement.value
            else:
                left.append(statement)
        return block if len(left) == len(block.seq) else tirx.stmt_seq(*left)

    body = tvm_ffi.structural_map(func.body, (tirx.SeqStmt, part))
    if not declared:
        return func

    def written_out(variable: Any) -> Any:
        value = values.get(variable)
        if value is None:
            return variable
        return tvm_ffi.structural_map(value, (tvm.ir.Var, written_out))

    body = tvm_ffi.structural_map(body, (tvm.ir.Var, written_out))
    return func.with_body(tirx.stmt_seq(*declared, body))


def _part_fragments(module: Any, context: Any) -> Any:
    """Give every lane its part of every buffer of the scope ``warp``."""
    left = max((_fragments(func) for func in module.functions.values()), default=0)
    for _ in range(left):
        module = tirx.transform.LowerWarpMemory()(module)
    return module


def _fragments(func: Any) -> int:
    found: list[Any] = []

    def note(node: Any) -> None:
        if node.buffer.scope() == "warp":
            found.append(node)

    walk_types(func.body, [(tirx.AllocBuffer, note)])
    return len(found)


def hoist_conditions() -> Any:
    """Return TVM's pass that moves conditions out of loops, which is left out where there are none.

    It simplifies whole bodies, which costs as much as the other simplifications of the pipeline together.
    """
    hoist = tvm.s_tir.transform.HoistIfThenElse()

    def apply(module: Any, context: Any) -> Any:
        return hoist(module) if any(map(_has_conditions, module.functions.values())) else module

    return tvm.ir.transform.module_pass(apply, opt_level=0, name="tirtune.HoistConditions")


def _has_conditions(func: Any) -> bool:
    found: list[Any] = []
    if isinstance(func, tirx.PrimFunc):
        walk_types(func.body, [(tirx.IfThenElse, found.append)])
    return bool(found)


_HELD = "tirtune.held"
"""Name of the call in which a value is hidden from the simplifier."""


def simplify_statements() -> Any:
    """Return the passes that move conditions out of loops, unroll, and simplify, which keep named numbers.

    TVM's simplifier puts what a name stands for in every place where it is used. That is meant for indices.
    Sums that a transform names because several results share them would be written out in each of those, and
    LLVM would have to find them again.
    """
    simplify = [hoist_conditions(), tirx.transform.UnrollLoop(), tirx.transform.StmtSimplify()]
    return tvm.ir.transform.Sequential([_each(_hide_numbers), *simplify, _each(_show_numbers)])


def _hide_numbers(func: Any) -> Any:
    def hidden(node: Any) -> Any:
        if "float" not in str(node.var.ty) or isinstance(node.value, tvm.ir.TensorLoad):
            return node
        return tirx.Bind(node.var, tirx.call_extern(node.value.ty, _HELD, node.value))

    return func.with_body(tvm_ffi.structural_map(func.body, (tirx.Bind, hidden)))


def _show_numbers(func: Any) -> Any:
    def shown(node: Any) -> Any:
        value = node.value
        if isinstance(value, tvm.ir.Call) and len(value.args) == 2 and str(value.args[0]) == f'"{_HELD}"':
            return tirx.Bind(node.var, value.args[1])
        return node

    return func.with_body(tvm_ffi.structural_map(func.body, (tirx.Bind, shown)))


def cpu_pipeline() -> tuple[Any, Any, Any]:
    """Return TVM's lowering pipeline without what only costs time on a CPU.

    Left out are the passes for GPUs and accelerators (thread bindings, shared memory, tensor cores), which
    find nothing to do but walk every body; what LLVM does again on unrolled bodies (common subexpressions,
    empty statements); the simplification before buffers are flattened, which simplifies every index itself;
    and the run-time checks of arguments, which callers make.

    Returns:
        The pass over whole modules, and the factories of what finishes host and device functions.
    """
    s_tir, passes = tvm.s_tir.transform, tirx.transform
    lower = tvm.ir.transform.Sequential(
        [
            s_tir.CanonicalizeLoop(),
            s_tir.LowerInitBlock(),
            s_tir.PlanAndUpdateBufferAllocationLocation(),
            s_tir.ConvertBlocksToOpaque(),
            s_tir.CompactBufferAllocation(),
            s_tir.LowerMatchBuffer(),
            s_tir.AnnotateIrregularLoop(),
            s_tir.LowerOpaqueBlock(),
            passes.FlattenBuffer(),
            passes.BF16ComputeLegalize(),
            passes.NarrowDataType(32),
            s_tir.LoopPartition(),
            passes.VectorizeLoop(True),
            passes.StorageRewrite(),
            simplify_statements(),
            _each(skip_padding),
            _each(stream_stores),
            _each(prefetch_rows),
            s_tir.RewriteUnsafeSelect(),
            passes.FP8ComputeLegalize(),
            passes.AnnotateEntryFunc(),
            passes.SplitHostDevice(),
            passes.MakePackedAPI(),
            passes.FP8StorageLegalize(),
            passes.BF16StorageLegalize(),
        ]
    )

    def finalise_host() -> Any:
        return tvm.ir.transform.Sequential(
            [passes.SkipAssert(), passes.LowerTVMBuiltin(), passes.LowerIntrin()]
        )

    return lower, finalise_host, tvm.tirx.get_tir_pipeline("s_tir")[2]
