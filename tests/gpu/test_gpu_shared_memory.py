"""The shared memory that masks and features count is what the lowered kernels allocate, to the byte."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

from search_space.candidate import materialize, sketch_plan
from search_space.gpu.allreduce import allreduce_bytes
from search_space.gpu.limits import allocated_bytes
from search_space.gpu.tile_step import GpuTileStep
from search_space.hardware import hardware_of, resolve_target
from search_space.hardware_gpu import GpuHardware
from search_space.sketch import Sketch
from search_space.tvm_api import tirx, tvm, walk_types
from tests.gpu.programs import OWN_PROGRAMS, SIMPLE_PROGRAMS, TENSOR_SPECS, gpu_context
from tuner.measure.cuda.build import lower_device

pytestmark = pytest.mark.tvm

SPECS = (
    "gmm:1,64,64,64",
    "gmm:2,13,17,29",
    "c2d:1,14,14,16,32,3,2,1",
    "c2d:1,28,28,4,16,7,2,3",
    "c2d:2,14,14,16,32,3,1,0",
    "cbr:1,28,28,64,64,3,1,1",
    "dep:1,14,14,32,3,1,1",
    "grp:1,8,8,16,32,3,1,1",
    "t2d:1,4,4,16,16,4,2,1",
    "tbg:1,32,2,16",
    "sfm:32,64",
    "nrm:1,64,64",
    "gmm:1,16,16,512,dtype=float16",
    *TENSOR_SPECS,
    *OWN_PROGRAMS,
    *SIMPLE_PROGRAMS,
)
"""Fetches (plain, strided, padded, of patches, of fused sums), and sums across threads and warps."""


def gpu() -> GpuHardware:
    found = hardware_of(resolve_target("cuda -arch=sm_80"))
    assert isinstance(found, GpuHardware)
    return found


def allocated(context: Any, sketch: Sketch, row: np.ndarray) -> list[int]:
    """Return the bytes of every kernel that has shared memory, in ascending order."""
    module = materialize(context, sketch_plan(sketch, row)).module
    found: list[int] = []
    for kernel in lower_device(module, context.target)[1].functions.values():
        sizes: list[int] = []

        def note(node: Any, sizes: list[int] = sizes) -> None:
            buffer = node.buffer
            if str(buffer.scope()).startswith("shared"):
                bits = int(tvm.DataType(str(buffer.dtype)).bits) * int(tvm.DataType(str(buffer.dtype)).lanes)
                sizes.append(prod(int(extent) for extent in buffer.shape) * bits // 8)

        walk_types(kernel.body, [(tirx.AllocBuffer, note)])
        found.append(sum(sizes))
    return sorted(size for size in found if size)


@pytest.mark.parametrize("spec", SPECS)
def test_estimates_are_what_lowered_kernels_allocate(spec: str) -> None:
    context = gpu_context(spec)
    rng = np.random.default_rng(6)
    for name, sketch in context.sketches.items():
        rows = sketch.sample(rng, 2)
        assert len(rows), name
        for row in rows:
            stages = [stage for stage in sketch.nests(row[None]).stages if stage.launch is not None]
            counted = [int(s.launch.shared_bytes[0]) for s in stages if s.launch is not None]
            assert sorted(filter(None, counted)) == allocated(context, sketch, row), (name, row.tolist())


def test_what_is_read_under_a_condition_is_not_staged() -> None:
    sketches = gpu_context("c2d:1,14,14,16,32,3,2,1").sketches
    for name, is_staged in (("tiled", True), ("inline.padded-tiled", False)):
        step = next(step for step in sketches[name].steps if isinstance(step, GpuTileStep))
        data = step.tiling.operands[0]
        assert (data.access is not None) == is_staged, name
        assert step.tiling.operands[1].access is not None, "weights are read without a condition"


def test_stages_of_a_divided_sum_end_at_its_longest_carry() -> None:
    sketch = gpu_context("c2d:1,28,28,4,16,7,2,3").sketches["im2col-tiled"]
    tiling = next(step for step in sketch.steps if isinstance(step, GpuTileStep)).tiling
    weight = next(operand for operand in tiling.operands if operand.use.name == "weight")
    assert weight.access is not None
    assert list(weight.access.carries.values()) == [(4, 28)]
    rows = sketch.sample(np.random.default_rng(1), 200)
    columns = sketch.space.columns(rows)
    axis = next(i for i, a in enumerate(tiling.axes) if a.iterator in weight.access.carries)
    steps = np.prod(columns.tile(tiling.tile_name(axis))[:, 1:], axis=1)
    staged = tiling.is_staged(weight, columns)
    assert staged.any()
    assert set(steps[staged]) <= {1, 28, 56, 84, 112, 140, 168, 196}
    assert not staged[np.isin(steps, (2, 4, 7, 14))].any()


def test_dynamic_buffers_begin_at_multiples_of_64_bytes() -> None:
    sizes = [np.array([100.0, 60000.0]), np.array([40.0, 100.0])]
    assert allocated_bytes(gpu(), sizes, 2).tolist() == [140.0, 60128.0]
    assert allocated_bytes(gpu(), [], 2).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("threads", "groups", "dtype", "is_innermost", "elements"),
    [
        (1, 8, "float32", True, 0),
        (32, 8, "float32", True, 0),  # shuffles within a warp
        (128, 2, "float32", True, 4 * 2 + 2),  # a partial result of each warp, then the result
        (128, 2, "float32", False, 256),
        (16, 4, "int8", True, 64),
        (24, 1, "float32", True, 0),
        (24, 2, "float32", True, 48),
    ],
)
def test_sums_across_threads(
    threads: int, groups: int, dtype: str, is_innermost: bool, elements: int
) -> None:
    width = np.dtype(dtype).itemsize
    found = allreduce_bytes(
        gpu(), np.array([float(threads)]), np.array([float(groups)]), dtype, width, is_innermost
    )
    assert found.tolist() == [elements * width]
