"""Programs by rows of tiles: what is sampled computes the same, and its description does the work."""

import numpy as np
import pytest

from search_space.candidate import DEFAULT_PLAN, context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from search_space.rules.tile_parts import TilePartsStep
from search_space.sketch import Sketch
from search_space.workload import workload_of
from tests.rewrites.samples import product
from tests.search_space.programs import context, outputs_of, run
from tuner.graph.prepack import split_workload
from tuner.measure.build import compile_target

pytestmark = pytest.mark.tvm

SPECS = (
    "c2d:1,48,48,3,16,7,2,3",
    "cbr:1,48,48,3,32,7,2,3",
    "dil:1,49,49,3,16,7,2,3",
    "c3d:1,4,48,48,3,16,7,2,3",
)


@pytest.mark.parametrize("spec", SPECS)
def test_sampled_candidates_compute_the_same(spec: str) -> None:
    ctx = context(spec)
    (name,) = (n for n in ctx.sketches if "tilerows" in n)
    sketch = ctx.sketches[name]
    (wanted,) = run(ctx, materialize(ctx, DEFAULT_PLAN).module)
    rows = sketch.sample(np.random.default_rng(3), 3)
    assert len(rows)
    for row in rows:
        (found,) = outputs_of(ctx, name, row)
        scale = max(1.0, float(np.abs(wanted).max()))
        assert np.abs(found - wanted).max() <= 2e-5 * scale * sketch.tolerance_scale, row.tolist()


@pytest.mark.parametrize("spec", SPECS)
def test_the_nests_do_the_products(spec: str) -> None:
    ctx = context(spec)
    (sketch,) = (s for n, s in ctx.sketches.items() if "tilerows" in n)
    (step,) = (s for s in sketch.steps if isinstance(s, TilePartsStep))
    rows = sketch.sample(np.random.default_rng(0), 16)
    nests = sketch.nests(rows)
    (compute,) = (n for n in nests.stages if n.stage == "compute")
    done = np.prod(compute.extents, axis=1) * compute.executions
    outer = np.prod([a.extent for a in step.tiling.block.axes]) * step.tasks
    np.testing.assert_allclose(done, outer)
    assert (nests.parallel_regions >= 1).all()


def test_each_thread_keeps_the_stages_of_its_row() -> None:
    ctx = context(SPECS[0])
    (sketch,) = (s for n, s in ctx.sketches.items() if "tilerows" in n)
    row = sketch.sample(np.random.default_rng(1), 1)[0]
    script = materialize(ctx, sketch_plan(sketch, row)).module.script()
    lines = script.splitlines()
    blocks = [i for i, line in enumerate(lines) if 'sblock("conv2d' in line]
    task = max(i for i, line in enumerate(lines[: blocks[-1]]) if "T.parallel" in line)
    inside = [line.split('"')[1] for i, line in enumerate(lines) if i in blocks and i > task]
    assert inside[0] == "conv2d_tiles" and inside[-1] == "conv2d_inverse"
    assert any(word.startswith("conv2d_update") or word == "conv2d" for word in inside)


@pytest.mark.parametrize(
    "spec", ["c2d:1,10,10,32,192,3,1,1", "cbr:1,9,9,32,192,3,1,1", "grp:1,9,9,128,256,3,1,1"]
)
@pytest.mark.parametrize("usable", [0.6, 0.02])
def test_columns_compute_the_same(spec: str, usable: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_space.rules.tile_parts.KERNEL_PART", 0.0)
    monkeypatch.setattr("search_space.rules.tile_parts.USABLE", usable)
    ctx = context(spec)
    names = [n for n in ctx.sketches if ("blockcolumns" if usable < 0.6 else "tilecolumns") in n]
    assert names
    (wanted,) = run(ctx, materialize(ctx, DEFAULT_PLAN).module)
    for name in names[::2]:
        sketch = ctx.sketches[name]
        (row,) = sketch.sample(np.random.default_rng(3), 1)
        (found,) = outputs_of(ctx, name, row)
        scale = max(1.0, float(np.abs(wanted).max()))
        assert np.abs(found - wanted).max() <= 2e-5 * scale * sketch.tolerance_scale, row.tolist()


def parts_step(sketch: Sketch) -> TilePartsStep:
    (step,) = (s for s in sketch.steps if isinstance(s, TilePartsStep))
    return step


def test_the_kernel_of_a_block_is_one_buffer_that_every_block_uses_again() -> None:
    ctx = context("c2d:1,7,7,512,512,3,1,1")
    sketch = ctx.sketches["winograd4-inline.conv2d_pad-blockcolumns"]
    rows = sketch.sample(np.random.default_rng(0), 256)
    assert len(rows) == 256
    tiling = parts_step(sketch).tiling
    columns = sketch.space.columns(rows)
    blocks = tiling.reduction_blocks(columns)
    assert blocks.min() == 2 and blocks.max() > 16  # as a whole it would not fit
    made, compute = sketch.nests(rows).stages[:2]
    for nest in (made, compute):
        kernel = next(a for a in nest.accesses if "kernel" in a.name)
        np.testing.assert_array_equal(np.prod(kernel.shape, axis=1), 36 * 512 * 16 / blocks)
    assert not kernel.coefficients[:, :, tiling.loops(columns).level.index("R0")].any()
    np.testing.assert_allclose(np.prod(made.extents, axis=1) * made.executions, 512 * 512)
    np.testing.assert_allclose(np.prod(compute.extents, axis=1) * compute.executions, 36 * 4 * 512 * 512)


def test_large_weights_are_offered_both_ways_and_few_rows_only_whole() -> None:
    assert resolve_target(threads=2) is not None
    large = context("c2d:1,56,56,64,64,3,1,1")
    names = [n for n in large.sketches if n.startswith("winograd4.3")]
    assert "winograd4.3-tilerows" in names and len(names) == 2
    small = context("dil:1,12,12,16,32,3,1,1")
    assert not any("tilerows" in n for n in small.sketches)


def test_panels_compute_the_same_and_their_kernel_is_left_to_the_compiler() -> None:
    func = product((1, 77), epilogue=True)
    ctx = context_of(workload_of(func, "product"), resolve_target(threads=2))
    (sketch,) = (s for n, s in ctx.sketches.items() if n == "strassen-tilepanels")
    rows = sketch.sample(np.random.default_rng(3), 16)
    (step,) = (s for s in sketch.steps if isinstance(s, TilePartsStep))
    (compute,) = (n for n in sketch.nests(rows).stages if n.stage == "compute")
    done = np.prod(compute.extents, axis=1) * compute.executions
    np.testing.assert_allclose(done, 7 * 39 * 256 * 384)
    assert step.tasks == 8
    (wanted,) = run(ctx, materialize(ctx, DEFAULT_PLAN).module)
    for row in rows[:3]:
        module = materialize(ctx, sketch_plan(sketch, row)).module
        (found,) = run(ctx, module)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=5e-5)
        parts = split_workload(module["main"], ctx.workload, compile_target(ctx.target))
        assert parts is not None and parts.shapes == (((8, 7, 256, 48), "float32"),)
