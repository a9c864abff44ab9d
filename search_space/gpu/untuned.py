"""The schedule of an untuned program: every block a kernel, one thread an output element.

A GPU runs nothing without threads, so this is what ``default`` means there: the reference for outputs and
the baseline that every candidate must beat.

before::

    for i, j, k: C[i, j] += A[i, k] * B[k, j]

after::

    bind blockIdx.x, threadIdx.x (256): for k: C[i, j] += A[i, k] * B[k, j]
"""

from __future__ import annotations

from typing import Any

from search_space.access import analyse
from search_space.tvm_api import Schedule

UNTUNED_THREADS = 256
"""Threads of a block: eight warps hide latencies on every architecture, and registers always suffice."""


def bind_untuned(module: Any) -> Any:
    """Bind the output loops of every block of ``main``; blocks stay in order and nothing is fused.

    Args:
        module: IRModule of an unscheduled function.

    Returns:
        A module that compiles for a GPU.
    """
    sch = Schedule(module, debug_mask="none", error_render_level="fast")
    for info in analyse(sch).values():
        block = sch.get_sblock(info.name)
        loops = list(sch.get_loops(block))
        spatial = [loops[i] for i in info.spatial]
        if spatial:
            sch.reorder(*spatial, *(loops[i] for i in info.reduction))
            outer = sch.fuse(*spatial) if len(spatial) > 1 else spatial[0]
        else:
            outer = sch.add_unit_loop(loops[0] if loops else block)
        bind_grid(sch, outer, UNTUNED_THREADS)
    return sch.mod


def bind_grid(sch: Schedule, loop: Any, threads: int) -> tuple[Any, Any]:
    """Split a loop by the threads of a block and bind both parts.

    Args:
        sch: The schedule.
        loop: A loop over independent iterations.
        threads: Threads of a block; the last block may be partly idle.

    Returns:
        The block loop and the thread loop.
    """
    extent = int(sch.get(loop).extent)
    outer, inner = sch.split(loop, [None, min(threads, extent)])
    sch.bind(outer, "blockIdx.x")
    sch.bind(inner, "threadIdx.x")
    return outer, inner
