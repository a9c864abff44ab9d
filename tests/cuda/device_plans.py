"""An entry point for the fork server: good, wrong and hostile GPU candidates of a 64^3 matmul."""

from __future__ import annotations

from typing import Any

import matmul_plans
from matmul_plans import Candidate, matmul
from tvm.script import tirx as T

from search_space.gpu import bind_untuned
from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import IRModule, Schedule
from search_space.workload import workload_of
from tuner.measure.base import MeasureTask

ENTRY = "device_plans:prepare"
TARGET = "cuda"
"""The device of this machine; sm_80 where there is none, and on the emulated one."""

prepare = matmul_plans.prepare


def device_task(size: int = 64, target: str = TARGET) -> MeasureTask:
    workload = workload_of(matmul(size), f"matmul{size}")
    text = target_text(resolve_target(target))
    return MeasureTask(workload.key, workload.program(), text, workload.name, 1)


def materialize(module: Any, plan: dict[str, Any]) -> Candidate:
    kind = plan["kind"]
    if kind == "default":
        return Candidate(bind_untuned(module))
    if kind in ("wrong", "near_write", "input_write"):
        return Candidate(bind_untuned(getattr(matmul_plans, f"plan_{kind}")(module, plan).module))
    return globals()[f"plan_{kind}"](module, plan)


def plan_tiled(module: Any, plan: dict[str, Any]) -> Candidate:
    """A tile a block, operands staged in shared memory, ``each`` results a thread in registers."""
    s = Schedule(module, debug_mask="none")
    tile, depth, each = plan.get("tile", 16), plan.get("depth", 8), plan.get("each", 1)
    block = s.get_sblock("C")
    result = s.cache_write(block, 0, "local")
    _, i, j, k = s.get_loops(block)
    (i0, i1), (j0, j1, j2) = s.split(i, [None, tile]), s.split(j, [None, tile // each, each])
    k0, k1 = s.split(k, [None, depth])
    s.reorder(i0, j0, i1, j1, k0, k1, j2)
    s.bind(i0, "blockIdx.y")
    s.bind(j0, "blockIdx.x")
    s.bind(i1, "threadIdx.y")
    s.bind(j1, "threadIdx.x")
    s.reverse_compute_at(result, j1)
    scope = plan.get("scope", "shared")
    for operand in (0, 1):
        copy = s.cache_read(block, operand, scope)
        s.compute_at(copy, k0)
        _, ty, tx = s.split(s.fuse(*s.get_loops(copy)[-2:]), [None, tile, tile // each])
        s.bind(ty, "threadIdx.y")
        s.bind(tx, "threadIdx.x")
    s.decompose_reduction(block, k0)
    return Candidate(s.mod, trace="[]")


def plan_shuffled(module: Any, plan: dict[str, Any]) -> Candidate:
    """The sum over k is shared by the 32 threads of a warp."""
    s = Schedule(module, debug_mask="none")
    block = s.get_sblock("C")
    batch, i, j, k = s.get_loops(block)
    _, k1 = s.split(k, [None, 32])
    s.bind(s.fuse(batch, i, j), "blockIdx.x")
    s.bind(k1, "threadIdx.x")
    return Candidate(s.mod)


def plan_crowded(module: Any, plan: dict[str, Any]) -> Candidate:
    """More threads a block than any device has."""
    s = Schedule(module, debug_mask="none")
    batch, i, j, _ = s.get_loops(s.get_sblock("C"))
    s.bind(s.fuse(batch, i, j), "threadIdx.x")
    return Candidate(s.mod)


def plan_greedy(module: Any, plan: dict[str, Any]) -> Candidate:
    """More shared memory a block than the device has."""
    return Candidate(_stage_all(512, "shared.dyn"))


def plan_unbound(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(module)


def plan_unwritten(module: Any, plan: dict[str, Any]) -> Candidate:
    """A sum that leaves out the last row."""

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((1, 64, 64), "float32"),
        B: T.Buffer((1, 64, 64), "float32"),
        C: T.Buffer((1, 64, 64), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for i in T.thread_binding(63, thread="blockIdx.x"):
            for j in T.thread_binding(64, thread="threadIdx.x"):
                with T.sblock("C"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    C[0, vi, vj] = A[0, vi, vj] + B[0, vi, vj]

    return Candidate(IRModule({"main": main}))


def plan_illegal(module: Any, plan: dict[str, Any]) -> Candidate:
    """A write far outside every allocation."""

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((1, 64, 64), "float32"),
        B: T.Buffer((1, 64, 64), "float32"),
        C: T.Buffer((1, 64, 64), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for i in T.thread_binding(64, thread="threadIdx.x"):
            with T.sblock("C"):
                vi = T.axis.spatial(64, i)
                C[0, vi, T.int64(1) << T.int64(40)] = A[0, vi, 0] + B[0, vi, 0]

    return Candidate(IRModule({"main": main}))


def plan_endless(module: Any, plan: dict[str, Any]) -> Candidate:
    """A kernel that does not end while anybody waits."""

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((1, 64, 64), "float32"),
        B: T.Buffer((1, 64, 64), "float32"),
        C: T.Buffer((1, 64, 64), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for i in T.thread_binding(64, thread="threadIdx.x"):
            for j, k in T.grid(1 << 15, 1 << 15):
                with T.sblock("C"):
                    vi = T.axis.spatial(64, i)
                    vj, vk = T.axis.remap("RR", [j, k])
                    with T.init():
                        C[0, vi, 0] = T.float32(0)
                    C[0, vi, 0] = C[0, vi, 0] * A[0, vi, vj % 64] + B[0, vi, vk % 64]

    return Candidate(IRModule({"main": main}))


def _stage_all(size: int, scope: str) -> Any:
    """A matmul that puts a whole operand into one block's shared memory."""
    s = Schedule(IRModule({"main": matmul(size).with_attr("global_symbol", "main")}), debug_mask="none")
    block = s.get_sblock("C")
    batch, i, j, _ = s.get_loops(block)
    i0, i1 = s.split(s.fuse(batch, i), [None, 16])
    s.reorder(i0, i1, j)
    s.bind(i0, "blockIdx.x")
    s.bind(i1, "threadIdx.x")
    copy = s.cache_read(block, 1, scope)
    s.compute_at(copy, i0)
    loops = s.get_loops(copy)[1:]
    _, lane = s.split(s.fuse(*loops), [None, 16])
    s.bind(lane, "threadIdx.x")
    return s.mod
