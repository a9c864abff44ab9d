"""A fixed kernel whose time shows whether the device still is what it was."""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import IRModule, Schedule, te
from tuner.measure.cuda.build import build_device, gpu_of
from tuner.measure.cuda.code import pack

_THREADS = 256
_BLOCKS_PER_PROCESSOR = 2
_STEPS = 2048


def canary_shapes(target: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the canary's arguments, all float32."""
    threads = gpu_of(target).processors * _BLOCKS_PER_PROCESSOR * _THREADS
    return (_STEPS,), (threads,), (threads,)


def canary_code(target: Any) -> bytes:
    """Build the kernel: one chain of multiply-adds a thread, on every multiprocessor.

    Args:
        target: A resolved CUDA target.

    Returns:
        The code as a child sends it.

    Raises:
        JobFailed: If there is no compiler.
    """
    (steps,), (threads,), _ = canary_shapes(target)
    factors = te.placeholder((steps,), name="factors")
    start = te.placeholder((threads,), name="start")
    k = te.reduce_axis((0, steps), name="k")
    total = te.compute((threads,), lambda t: te.sum(factors[k] * start[t], axis=k), name="total")
    module = IRModule(
        {"main": te.create_prim_func([factors, start, total]).with_attr("global_symbol", "main")}
    )
    schedule = Schedule(module, debug_mask="none", error_render_level="fast")
    block = schedule.get_sblock("total")
    result = schedule.cache_write(block, 0, "local")
    blocks, lanes = schedule.split(schedule.get_loops(block)[0], [None, _THREADS])
    schedule.bind(blocks, "blockIdx.x")
    schedule.bind(lanes, "threadIdx.x")
    schedule.reverse_compute_at(result, lanes)
    return pack(build_device(schedule.mod, target).code)
