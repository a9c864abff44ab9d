"""An entry point for the fork server: good, slow, wrong and hostile candidates of a 64^3 matmul."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T

from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import IRModule, Schedule, load_json, te, tvm
from search_space.workload import workload_of
from tuner.measure import child
from tuner.measure.base import MeasureTask

ENTRY = "matmul_plans:prepare"


@dataclass
class Candidate:
    module: Any
    trace: str | None = None
    base: str | None = None


def matmul(size: int, factor: float = 1.0) -> Any:
    a = te.placeholder((1, size, size), name="A")
    b = te.placeholder((1, size, size), name="B")
    k = te.reduce_axis((0, size), name="k")
    term = (lambda x: x * te.const(factor, "float32")) if factor != 1.0 else (lambda x: x)
    c = te.compute((1, size, size), lambda n, i, j: te.sum(term(a[n, i, k] * b[n, k, j]), axis=[k]), name="C")
    return te.create_prim_func([a, b, c])


def matmul_task(size: int = 64, threads: int = 2, name: str = "matmul") -> MeasureTask:
    workload = workload_of(matmul(size), name)
    target = target_text(resolve_target(None, threads))
    return MeasureTask(workload.key, workload.program(), target, name, threads)


def prepare(program: str, target: str) -> Any:
    return IRModule({"main": load_json(program).with_attr("global_symbol", "main")})


def materialize(module: Any, plan: dict[str, Any]) -> Candidate:
    kind = plan["kind"]
    if kind == "default":
        return Candidate(module)
    return globals()[f"plan_{kind}"](module, plan)


def plan_tiled(module: Any, plan: dict[str, Any]) -> Candidate:
    """A register-tiled matmul, ``mr`` rows by ``nv`` vectors of 16 lanes."""
    s = Schedule(module)
    block = s.get_sblock("C")
    cache = s.cache_write(block, 0, "local")
    batch, i, j, k = s.get_loops(block)
    i0, i1 = s.split(i, [None, plan.get("mr", 4)])
    j0, j1, j2 = s.split(j, [None, plan.get("nv", 2), 16])
    s.reorder(batch, i0, j0, k, i1, j1, j2)
    s.parallel(s.fuse(batch, i0))
    s.reverse_compute_at(cache, j0)
    s.unroll(i1)
    s.unroll(j1)
    s.vectorize(j2)
    s.decompose_reduction(block, k)
    return Candidate(s.mod, trace=s.trace.show() if plan.get("show") else "[]")


def plan_slow(module: Any, plan: dict[str, Any]) -> Candidate:
    """The right result, some hundred times too slow: every element is computed again and again."""
    size, times = 64, plan.get("times", 200)

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((1, size, size), "float32"),
        B: T.Buffer((1, size, size), "float32"),
        C: T.Buffer((1, size, size), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for again in T.serial(times):
            for i, j, k in T.grid(size, size, size):
                with T.sblock("C"):
                    v_again = T.axis.opaque(times, again)
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    if vk == 0:
                        C[0, vi, vj] = T.float32(0)
                    C[0, vi, vj] = C[0, vi, vj] + A[0, vi, vk] * B[0, vk, vj] + T.float32(0) * v_again

    return Candidate(IRModule({"main": main}))


def plan_unrolled(module: Any, plan: dict[str, Any]) -> Candidate:
    s = Schedule(module)
    for loop in s.get_loops(s.get_sblock("C")):
        s.unroll(loop)
    return Candidate(s.mod)


def plan_wrong(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(IRModule({"main": matmul(64, 1.001).with_attr("global_symbol", "main")}))


def plan_unwritten(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(_copy_kernel(63, 0, 0))


def plan_near_write(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(_extra_write(module, 64))


def plan_far_write(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(_extra_write(module, 1 << 28))


def plan_input_write(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(_extra_write(module, 0, to_input=True))


def plan_endless_kernel(module: Any, plan: dict[str, Any]) -> Candidate:
    return Candidate(_copy_kernel(64, 1 << 30, 1 << 30))


def plan_segfault(module: Any, plan: dict[str, Any]) -> Candidate:
    ctypes.string_at(8)
    raise AssertionError("unreachable")


def plan_abort(module: Any, plan: dict[str, Any]) -> Candidate:
    os.abort()


def plan_raise(module: Any, plan: dict[str, Any]) -> Candidate:
    raise ValueError("this plan\ncannot be materialised")


def plan_endless_python(module: Any, plan: dict[str, Any]) -> Candidate:
    while True:
        pass


def plan_endless_memory(module: Any, plan: dict[str, Any]) -> Candidate:
    hoard = []
    while True:
        hoard.append(b"\1" * (16 << 20))


def plan_leave(module: Any, plan: dict[str, Any]) -> Candidate:
    os._exit(7)


def plan_noise(module: Any, plan: dict[str, Any]) -> Candidate:
    for _ in range(400):
        try:
            os.write(1, b"noise on standard output\n" * 1000)
            sys.stderr.write("noise\n")
        except OSError:
            break
    return plan_tiled(module, plan)


def plan_babble(module: Any, plan: dict[str, Any]) -> Candidate:
    """Write nonsense to every descriptor, the tuner's socket among them."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    time.sleep(60)
    raise AssertionError("unreachable")


def plan_forks(module: Any, plan: dict[str, Any]) -> Candidate:
    """Leave processes behind: one in the group, one that escapes into a session of its own."""
    for escape in (False, True):
        if os.fork() == 0:
            if escape:
                os.setsid()
                if os.fork():
                    os._exit(0)
            open(plan["mark"] + f"/{os.getpid()}", "w").close()  # noqa: PTH123
            time.sleep(600)
            os._exit(0)
    while len(os.listdir(plan["mark"])) < 2:  # noqa: PTH208
        time.sleep(0.005)
    return plan_slow(module, plan)  # a fast one may be kept for a duel, and its processes with it


def plan_compiler_hang(module: Any, plan: dict[str, Any]) -> Candidate:
    """Let the compiler wait in native code, where no Python signal handler runs."""

    def hang(*_: Any) -> Any:
        ctypes.CDLL(None).pause()

    child.build_timed = hang
    return Candidate(module)


def plan_sleepy(module: Any, plan: dict[str, Any]) -> Candidate:
    time.sleep(plan["seconds"])
    return plan_tiled(module, plan)


def _copy_kernel(rows: int, outer: int, inner: int) -> Any:
    @T.prim_func(s_tir=True)
    def copy(
        A: T.Buffer((1, 64, 64), "float32"),
        B: T.Buffer((1, 64, 64), "float32"),
        C: T.Buffer((1, 64, 64), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for i, j in T.grid(rows, 64):
            with T.sblock("copy"):
                vi, vj = T.axis.remap("SS", [i, j])
                C[0, vi, vj] = A[0, vi, vj] + B[0, vi, vj]
        for i, j in T.grid(outer, inner):
            with T.sblock("spin"):
                vi, vj = T.axis.remap("SS", [i, j])
                C[0, 0, 0] = C[0, 0, 0] * A[0, 0, 0] + B[0, vi % 64, vj % 64]

    return IRModule({"main": copy})


def _extra_write(module: Any, offset: int, to_input: bool = False) -> Any:
    """The matmul, and then a few elements where none may be written."""

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((1, 64, 64), "float32"),
        B: T.Buffer((1, 64, 64), "float32"),
        C: T.Buffer((1, 64, 64), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for i, j, k in T.grid(64, 64, 64):
            with T.sblock("C"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                with T.init():
                    C[0, vi, vj] = T.float32(0)
                C[0, vi, vj] = C[0, vi, vj] + A[0, vi, vk] * B[0, vk, vj]
        for i in T.serial(4):
            with T.sblock("outside"):
                vi = T.axis.spatial(4, i)
                C[0, 63, vi + offset] = T.float32(1)

    @T.prim_func(s_tir=True)
    def into_input(
        A: T.Buffer((1, 64, 64), "float32"),
        B: T.Buffer((1, 64, 64), "float32"),
        C: T.Buffer((1, 64, 64), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "global_symbol": "main"})
        for i, j, k in T.grid(64, 64, 64):
            with T.sblock("C"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                with T.init():
                    C[0, vi, vj] = T.float32(0)
                C[0, vi, vj] = C[0, vi, vj] + A[0, vi, vk] * B[0, vk, vj]
        for i in T.serial(4):
            with T.sblock("input"):
                vi = T.axis.spatial(4, i)
                A[0, 0, vi] = T.float32(1)

    return IRModule({"main": into_input if to_input else main})


assert tvm is not None
