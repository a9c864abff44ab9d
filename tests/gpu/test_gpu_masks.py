"""What the masks let through builds: the real compiler, both architectures, registers and shared memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from search_space.candidate import Context, materialize, sketch_plan
from search_space.gpu.limits import BUFFER_ALIGNMENT_BYTES
from search_space.hardware_gpu import GpuHardware
from search_space.kinds import space_of
from search_space.sketch import Sketch
from search_space.tvm_api import tirx, tvm, tvm_ffi, walk_types
from tests.gpu.programs import OWN_PROGRAMS, TENSOR_SPECS, gpu_context
from tuner.measure.build import TooLarge
from tuner.measure.cuda.build import ExceedsDevice, build_device
from tuner.measure.cuda.nvrtc import CompileError
from tuner.measure.lowering import gpu_pipeline

pytestmark = pytest.mark.tvm

OPERATORS = (
    "gmm:1,128,128,128",
    "c2d:1,14,14,64,64,3,1,1",
    "dep:1,14,14,64,3,1,1",
    "grp:1,14,14,64,64,3,1,1",
    "tbg:1,64,4,32",
    "sfm:64,256",
    "nrm:1,128,128",
    "t2d:1,4,4,64,32,4,2,1",
    TENSOR_SPECS[0],
    "gmm:1,64,64,128,dtype=bfloat16",
    *OWN_PROGRAMS,
)
ARCHITECTURES = ("sm_80", "sm_90")
EACH = 7
"""Candidates of every operator for every architecture: more than 200 in all."""


def candidates(ctx: Context, count: int, seed: int) -> Iterator[tuple[Sketch, np.ndarray]]:
    """Draw candidates of all sketches in turn."""
    rng = np.random.default_rng(seed)
    drawn = [(s, s.sample(rng, -(-count // len(ctx.sketches)))) for s in ctx.sketches.values()]
    longest = max(len(rows) for _, rows in drawn)
    found = [(s, rows[i]) for i in range(longest) for s, rows in drawn if i < len(rows)]
    yield from found[:count]


def build(ctx: Context, sketch: Sketch, row: np.ndarray) -> dict[str, float]:
    """Build one candidate and return what the compiler reports."""
    return build_device(materialize(ctx, sketch_plan(sketch, row)).module, ctx.target).facts


@pytest.mark.parametrize("spec", OPERATORS)
def test_a_candidate_of_every_operator_builds_within_its_limits(spec: str) -> None:
    ctx = gpu_context(spec, ARCHITECTURES[OPERATORS.index(spec) % 2])
    assert isinstance(ctx.hardware, GpuHardware)
    for sketch, row in candidates(ctx, 1, 11):
        facts = build(ctx, sketch, row)
        launches = [stage.launch for stage in sketch.nests(row[None]).stages if stage.launch is not None]
        estimate = max(float(launch.shared_bytes[0]) for launch in launches)
        # The assembler aligns what a kernel declares; before that the two are the same to the byte.
        assert estimate <= facts["shared_bytes"] <= estimate + 3 * BUFFER_ALIGNMENT_BYTES
        assert facts["shared_bytes"] <= ctx.hardware.block_shared_bytes
        assert facts["registers"] <= ctx.hardware.thread_registers


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nineteen_of_twenty_candidates_build_within_the_limits(arch: str) -> None:
    refused: list[str] = []
    total = 0
    for spec in OPERATORS:
        ctx = gpu_context(spec, arch)
        assert isinstance(ctx.hardware, GpuHardware)
        for sketch, row in candidates(ctx, EACH, 3):
            total += 1
            try:
                facts = build(ctx, sketch, row)
            except (CompileError, ExceedsDevice, TooLarge, tvm.error.TVMError) as error:
                reason = str(error).strip().splitlines()[-1]
                refused.append(f"{spec} {sketch.name} {row.tolist()}: {reason}")
                continue
            assert facts["shared_bytes"] <= ctx.hardware.block_shared_bytes
            assert facts["registers"] <= ctx.hardware.thread_registers
    assert total >= 100
    assert len(refused) <= 0.05 * total, refused


def wide_accesses(ctx: Context, sketch: Sketch, row: np.ndarray) -> Iterator[tuple[Any, int]]:
    """Yield start index and lanes of every contiguous vector access of a lowered candidate."""
    module = materialize(ctx, sketch_plan(sketch, row)).module
    bound = tvm.tirx.transform.BindTarget(ctx.target.with_host(tvm.target.Target("llvm")))(module)
    with tvm.transform.PassContext(config={**space_of("cuda").lowering, "tirx.disable_cse_tir": True}):
        lowered = gpu_pipeline()[0](bound)
    found: list[tuple[Any, int]] = []

    def visit(node: Any) -> None:
        if isinstance(node.stride, tirx.IntImm) and int(node.stride) == 1:
            found.append((node.base, int(node.lanes)))

    for function in lowered.functions.values():
        walk_types(function.body, [(tirx.Ramp, visit)])
    yield from found


@pytest.mark.parametrize("spec", ["gmm:1,128,128,128", "c2d:1,6,6,8,16,3,1,1", "t2d:1,4,4,16,8,4,2,1"])
def test_vector_accesses_are_aligned(spec: str) -> None:
    ctx = gpu_context(spec)
    rng = np.random.default_rng(2)
    seen = 0
    for sketch, row in candidates(ctx, 12, 4):
        for base, lanes in wide_accesses(ctx, sketch, row):
            seen += 1
            for _ in range(2):
                assert _value(base, rng) % lanes == 0, (sketch.name, row.tolist(), base, lanes)
    assert seen


def _value(expression: Any, rng: np.random.Generator) -> int:
    """Evaluate an index at a random point."""
    values: dict[str, int] = {}

    def at_point(node: Any) -> Any:
        value = values.setdefault(str(node.name), int(rng.integers(0, 4)))
        return tirx.IntImm(str(node.ty), value)

    if not hasattr(expression, "ty"):
        return int(expression)
    filled = tvm_ffi.structural_map(expression, (tvm.ir.Var, at_point))
    return int(tvm.sym.Analyzer().simplify(filled))
