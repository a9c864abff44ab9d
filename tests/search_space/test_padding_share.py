"""What padding costs: the share of taps outside, and that the machine code has no instruction for them."""

import re

import numpy as np
import pytest

from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from search_space.padding_share import padded_taps
from tests.search_space.programs import context
from tuner.measure.build import compile_module
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


def block_of(ctx):
    sketch = ctx.sketches["inline.padded-tiled"]
    return next(step.tiling.block for step in sketch.steps if hasattr(step, "tiling"))


@pytest.mark.parametrize(
    ("spec", "outside"),
    [
        ("c2d:1,7,9,16,32,3,1,1", (2 / 21, 2 / 27)),
        ("dil:1,7,7,16,32,3,1,1", (2 / 15, 2 / 15)),
        ("t2d:1,4,8,16,32,4,2,1", (1 / 8, 1 / 16)),
    ],
)
def test_the_share_of_taps_outside(spec, outside):
    shares = sorted(share for _, share in padded_taps(block_of(context(spec))))
    np.testing.assert_allclose(shares, sorted(outside))


def test_without_padding_nothing_is_outside():
    ctx = context("c2d:1,8,8,16,32,3,1,0")
    blocks = [step.tiling.block for step in ctx.sketches["tiled"].steps if hasattr(step, "tiling")]
    assert padded_taps(blocks[0]) == ()


@pytest.mark.parametrize(("rows", "taps", "kept"), [(7, 3, 19), (7, 1, 21)])
def test_constant_conditions_leave_no_instructions(rows, taps, kept):
    """A row of seven results and all taps of a row: nineteen products of the twenty-one are in the code."""
    ctx = context_of(named_workload("c2d:1,7,7,16,32,3,1,1"), resolve_target("llvm -mcpu=skylake-avx512", 2))
    sketch = ctx.sketches["inline.padded-tiled"]
    wanted = {
        "i0": [1, 7, 1, 1],
        "i1": [1, 1, 1, rows],
        "i2": [2, 1, 1, 1, 16],
        "kh": [1, 3, 1],
        "kw": [1, 3 // taps, taps],
        "ci": [1, 16, 1],
    }
    row = np.zeros(len(sketch.space.slots), np.int32)
    for i, slot in enumerate(sketch.space.slots):
        if (factors := wanted.get(slot.name.rpartition(".")[2])) is not None:
            row[i] = slot.table.tolist().index(factors)
    assert sketch.valid(row[None])[0]
    compute = next(n for n in sketch.nests(row[None]).stages if n.stage == "compute")
    known = [2 / 21, 2 / 21] if taps == 3 else [2 / 21]
    np.testing.assert_allclose(compute.predicated, 1 - np.prod([1 - share for share in known]), rtol=1e-5)
    if taps == 3:
        module = materialize(ctx, sketch_plan(sketch, row)).module
        text = compile_module(module, ctx.target).mod.inspect_source("s")
        found = len(re.findall(r"\bvfmadd\w+ps\b.*zmm", text))
        assert found and found % kept == 0 and found % (rows * taps)  # LLVM may unroll the channels
