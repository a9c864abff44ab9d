"""Small workloads of every kind, and how to run a schedule of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from search_space.candidate import Context, context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from search_space.tvm_api import tvm
from tuner.workloads import named_workload

SPECS = (
    "gmm:1,32,48,64",
    "gmm:2,13,17,29",
    "c1d:1,32,16,32,3,2,1",
    "c2d:1,14,14,16,32,3,1,1",
    "c2d:1,8,8,16,32,1,1,0",
    "c3d:1,4,8,8,8,16,3,1,1",
    "grp:1,8,8,16,32,3,1,1",
    "dil:1,14,14,8,16,3,1,1",
    "dep:1,14,14,32,3,1,1",
    "t2d:1,4,4,16,8,4,2,1",
    "cap:1,4,4,8,8,3,1,1,4",
    "nrm:1,64,48",
    "sfm:16,48",
    "sfm:12,49",
    "nrm:1,9,49",
    "cbr:1,8,8,8,16,3,1,1",
    "tbg:1,32,2,16",
    "gmm:1,19,37,21",
    "c2d:1,7,5,6,20,3,1,1",
    "c2d:1,9,9,5,12,1,2,0",
    "dep:1,9,9,24,3,1,1",
    "t2d:1,4,16,6,3,4,2,1",
    "cbr:1,6,16,5,3,3,1,1",
)


def context(spec: str) -> Context:
    """Derive the sketches of a named workload on this machine."""
    return context_of(named_workload(spec), resolve_target(threads=2))


def arguments(ctx: Context, seed: int = 0) -> list[np.ndarray]:
    """Random inputs and poisoned outputs."""
    rng = np.random.default_rng(seed)
    return [
        np.full(a.shape, np.nan, a.dtype) if a.is_output else rng.uniform(-1, 1, a.shape).astype(a.dtype)
        for a in ctx.workload.args
    ]


def run(ctx: Context, module: Any) -> list[np.ndarray]:
    """Compile and run on the arguments; return the outputs."""
    tensors = [tvm.runtime.tensor(a) for a in arguments(ctx)]
    tvm.compile(module, target=ctx.target)["main"](*tensors)
    return [t.numpy() for t, a in zip(tensors, ctx.workload.args, strict=True) if a.is_output]


def outputs_of(ctx: Context, sketch: str, row: np.ndarray) -> list[np.ndarray]:
    """Schedule one candidate, run it, return its outputs."""
    return run(ctx, materialize(ctx, sketch_plan(ctx.sketches[sketch], row)).module)
