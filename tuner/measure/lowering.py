"""From scheduled TensorIR to what a code generator is given: TVM's passes, less what means nothing here."""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import tirx, tvm
from tuner.measure.streaming import stream_stores


def gpu_pipeline() -> tuple[Any, Any, Any]:
    """Return TVM's lowering pipeline without the run-time checks of arguments, which callers make.

    Returns:
        The pass over whole modules, and the factories of what finishes host and device functions.
    """
    lower, finalise_host, finalise_device = tvm.tirx.get_tir_pipeline("s_tir")

    def finalise_without_checks() -> Any:
        return tvm.ir.transform.Sequential([tirx.transform.SkipAssert(), finalise_host()])

    return lower, finalise_without_checks, finalise_device


def cpu_pipeline() -> tuple[Any, Any, Any]:
    """Return TVM's lowering pipeline without what only costs time on a CPU.

    Left out are the passes for GPUs and accelerators (thread bindings, shared memory, tensor cores), which
    find nothing to do but walk every body; what LLVM does again on unrolled bodies (common subexpressions,
    empty statements); and the run-time checks of arguments, which callers make.

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
            s_tir.StmtSimplify(),
            s_tir.AnnotateIrregularLoop(),
            s_tir.LowerOpaqueBlock(),
            passes.FlattenBuffer(),
            passes.BF16ComputeLegalize(),
            passes.NarrowDataType(32),
            s_tir.LoopPartition(),
            passes.VectorizeLoop(True),
            passes.StorageRewrite(),
            s_tir.HoistIfThenElse(),
            passes.UnrollLoop(),
            passes.StmtSimplify(),
            stream_stores(),
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
