"""Small workloads on a GPU target, and how to check their schedules without one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from search_space.candidate import Context, context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from search_space.kinds import space_of
from search_space.sketch import Sketch
from search_space.tvm_api import tvm
from tuner.workloads import named_workload

SPECS = (
    "gmm:1,32,48,64",
    "gmm:2,13,17,29",
    "c2d:1,14,14,16,32,3,1,1",
    "cbr:1,8,8,8,16,3,1,1",
    "grp:1,8,8,16,32,3,1,1",
    "dep:1,14,14,32,3,1,1",
    "t2d:1,4,4,16,8,4,2,1",
    "sfm:16,48",
    "nrm:1,64,48",
    "tbg:1,32,2,16",
)


@lru_cache(maxsize=64)
def gpu_context(spec: str, arch: str = "sm_80") -> Context:
    """Derive the sketches of a named workload for an architecture."""
    return context_of(named_workload(spec), resolve_target(f"cuda -arch={arch}"))


def source_of(ctx: Context, sketch: Sketch, row: np.ndarray) -> str:
    """Return the CUDA source of one candidate."""
    module = materialize(ctx, sketch_plan(sketch, row)).module
    with tvm.transform.PassContext(config=dict(space_of("cuda").lowering)):
        return str(tvm.compile(module, ctx.target).mod.imports[0].inspect_source())


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
    arrays = [
        np.full(a.shape, np.nan, a.dtype) if a.is_output else rng.uniform(-1, 1, a.shape).astype(a.dtype)
        for a in ctx.workload.args
    ]
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    tvm.compile(module, target="llvm")["main"](*tensors)
    return [t.numpy() for t, a in zip(tensors, ctx.workload.args, strict=True) if a.is_output]
