"""Small workloads on a GPU target, and how to check their schedules without one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from search_space.candidate import Context, context_of
from search_space.hardware import resolve_target
from search_space.sketch import Sketch
from search_space.tvm_api import te, tvm
from search_space.workload import BufferSpec, Workload, workload_of
from tuner.workloads import named_workload

SPECS = (
    "gmm:1,32,48,64",
    "gmm:2,13,17,29",
    "c2d:1,6,6,8,16,3,1,1",
    "cbr:1,8,8,8,16,3,1,1",
    "grp:1,8,8,16,32,3,1,1",
    "dep:1,14,14,32,3,1,1",
    "t2d:1,4,4,16,8,4,2,1",
    "sfm:16,48",
    "nrm:1,64,48",
    "tbg:1,32,2,16",
)

SLOW_SPECS = ("c2d:1,14,14,16,32,3,1,1", "c3d:1,4,8,8,8,16,3,1,1", "cap:1,4,4,8,8,3,1,1,4")
"""Those with many sketches (Winograd) or much code."""

TENSOR_SPECS = (
    "gmm:1,64,64,128,dtype=float16",
    "gmm:2,60,72,56,dtype=float16",
)
"""Products whose element types tensor cores have; the second one is padded in every direction."""


def half_convolution(height: int = 8, channels: int = 16, outputs: int = 32) -> Workload:
    """A padded 3 x 3 convolution of float16 with float32 sums and a relu."""
    data = te.placeholder((1, height, height, channels), "float16", "data")
    weight = te.placeholder((3, 3, channels, outputs), "float16", "weight")

    def padded(n: Any, h: Any, w: Any, c: Any) -> Any:
        inside = tvm.tirx.all(h >= 1, h <= height, w >= 1, w <= height)
        return tvm.tirx.if_then_else(inside, data[n, h - 1, w - 1, c], tvm.tirx.const(0, "float16"))

    wide = te.compute((1, height + 2, height + 2, channels), padded, "padded")
    kh, kw = te.reduce_axis((0, 3), "kh"), te.reduce_axis((0, 3), "kw")
    ci = te.reduce_axis((0, channels), "ci")
    sums = te.compute(
        (1, height, height, outputs),
        lambda n, h, w, o: te.sum(
            wide[n, h + kh, w + kw, ci].astype("float32") * weight[kh, kw, ci, o].astype("float32"),
            axis=[kh, kw, ci],
        ),
        "conv",
    )
    zero = tvm.tirx.const(0, "float32")
    relu = te.compute(sums.shape, lambda *i: tvm.tirx.max(sums[i], zero), "relu")
    return workload_of(te.create_prim_func([data, weight, relu]), "half convolution")


def strided_half_convolution(height: int = 8, channels: int = 16, outputs: int = 32) -> Workload:
    """A 1 x 1 convolution of every second place, all of it float16; two of its axes have one step."""
    data = te.placeholder((1, 2 * height, 2 * height, channels), "float16", "data")
    weight = te.placeholder((1, 1, channels, outputs), "float16", "weight")
    kh, kw = te.reduce_axis((0, 1), "kh"), te.reduce_axis((0, 1), "kw")
    ci = te.reduce_axis((0, channels), "ci")
    sums = te.compute(
        (1, height, height, outputs),
        lambda n, h, w, o: te.sum(
            data[n, h * 2 + kh, w * 2 + kw, ci] * weight[kh, kw, ci, o], axis=[kh, kw, ci]
        ),
        "conv",
    )
    return workload_of(te.create_prim_func([data, weight, sums]), "strided half convolution")


def product(name: str, operand: str, result: str, is_transposed: bool) -> Workload:
    """A product of matrices, the second one perhaps stored with its terms together."""
    rows, columns, terms = 48, 32, 64
    left = te.placeholder((rows, terms), operand, "left")
    right = te.placeholder((columns, terms) if is_transposed else (terms, columns), operand, "right")
    k = te.reduce_axis((0, terms), "k")

    def term(i: Any, j: Any) -> Any:
        factors = (left[i, k], right[j, k] if is_transposed else right[k, j])
        first, second = factors if operand == result else (f.astype(result) for f in factors)
        return te.sum(first * second, axis=k)

    sums = te.compute((rows, columns), term, "product")
    return workload_of(te.create_prim_func([left, right, sums]), name)


def few_sums() -> Workload:
    """Sums of four long rows, which nothing follows."""
    rows = te.placeholder((4, 512), "float32", "rows")
    k = te.reduce_axis((0, 512), "k")
    sums = te.compute((4,), lambda i: te.sum(rows[i, k], axis=k), "sums")
    return workload_of(te.create_prim_func([rows, sums]), "few sums")


def sums_over_axes() -> Workload:
    """Sums over the last of four axes, and a relu: one element a row, rows along three axes."""
    values = te.placeholder((3, 4, 8, 64), "float32", "values")
    k = te.reduce_axis((0, 64), "k")
    sums = te.compute((3, 4, 8), lambda *i: te.sum(values[(*i, k)], axis=k), "sums")
    zero = tvm.tirx.const(0, "float32")
    relu = te.compute(sums.shape, lambda *i: tvm.tirx.max(sums[i], zero), "relu")
    return workload_of(te.create_prim_func([values, relu]), "sums over axes")


def scaled() -> Workload:
    """Each element times two."""
    values = te.placeholder((16, 48), "float32", "values")
    result = te.compute(values.shape, lambda *i: values[i] * tvm.tirx.const(2, "float32"), "result")
    return workload_of(te.create_prim_func([values, result]), "scaled")


SIMPLE_PROGRAMS = {"few sums": few_sums, "sums over axes": sums_over_axes, "scaled": scaled}
"""Programs without products that no named operator stands for."""

OWN_PROGRAMS = {
    "half convolution": half_convolution,
    "strided half convolution": strided_half_convolution,
    "byte product": lambda: product("byte product", "int8", "int32", True),
    "straight byte product": lambda: product("straight byte product", "int8", "int32", False),
    "half sums": lambda: product("half sums", "float16", "float16", True),
}
"""Products that no named operator stands for."""


def gpu_workload(spec: str) -> Workload:
    """Return a program of this module, or a named one."""
    own = OWN_PROGRAMS | SIMPLE_PROGRAMS
    return own[spec]() if spec in own else named_workload(spec)


def wide_products(sketch: Sketch) -> bool:
    """Report whether a sketch uses tensor cores."""
    return not {"mma", "wmma"}.isdisjoint(sketch.name.split("-"))


@lru_cache(maxsize=64)
def gpu_context(spec: str, arch: str = "sm_80", *options: str) -> Context:
    """Derive the sketches of a workload for an architecture, with options such as ``-libs=tf32``."""
    return context_of(gpu_workload(spec), resolve_target(" ".join((f"cuda -arch={arch}", *options))))


def serial(module: Any) -> Any:
    """Turn a scheduled GPU module into a program for the CPU that does the same, thread after thread.

    In TensorIR a copy that all threads share is a loop over the threads *inside* the loop over the
    threads, so each thread may do all of it: run serially, the program computes what the kernel does, apart
    from barriers. Indices, regions, predicates, pipelines and attached stages are those of the kernel.
    """
    text = module.script()
    text = re.sub(
        r'T\.thread_binding\((\d+), thread="[\w.]+"(, annotations=\{[^}]*\})?\)', r"T.serial(\1)", text
    )
    text = re.sub(r'scope="[\w.]+"', 'scope="global"', text)
    text = re.sub(r'"software_pipeline_async_stages": \[0\], ', "", text)
    return tvm.script.from_source(text)


def outputs_of(ctx: Context, module: Any) -> list[np.ndarray]:
    """Run a CPU module on random inputs and poisoned outputs; return the outputs."""
    rng = np.random.default_rng(0)

    def array(spec: BufferSpec) -> np.ndarray:
        if not np.issubdtype(np.dtype(spec.dtype), np.floating):
            return rng.integers(-9, 10, spec.shape).astype(spec.dtype)
        if spec.is_output:
            return np.full(spec.shape, np.nan, spec.dtype)
        return rng.uniform(-1, 1, spec.shape).astype(spec.dtype)

    arrays = [array(a) for a in ctx.workload.args]
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    tvm.compile(module, target="llvm")["main"](*tensors)
    return [t.numpy() for t, a in zip(tensors, ctx.workload.args, strict=True) if a.is_output]
