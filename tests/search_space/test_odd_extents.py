"""Random workloads whose extents divide nothing: what the sketches sample builds and is right."""

import numpy as np
import pytest

from search_space.candidate import DEFAULT_PLAN, materialize
from tests.search_space.programs import context, outputs_of, run

pytestmark = pytest.mark.tvm

CHANNELS = (1, 3, 5, 7, 12, 17, 20, 24, 33, 40, 49)
EDGES = (5, 7, 9, 11, 13)


def odd_spec(seed: int) -> str:
    """Draw a small workload with awkward extents."""
    rng = np.random.default_rng(seed)
    ci, co = (int(rng.choice(CHANNELS)) for _ in range(2))
    h, w = (int(rng.choice(EDGES)) for _ in range(2))
    kernel, stride = int(rng.choice((1, 2, 3))), int(rng.integers(1, 3))
    padding = int(rng.integers(0, kernel))
    window = f"{kernel},{stride},{padding}"
    rows, columns, depth = (int(n) for n in rng.integers(17, 67, 3))
    return (
        f"gmm:1,{rows},{columns},{depth}",
        f"c2d:1,{h},{w},{ci},{co},{window}",
        f"dep:1,{h},{w},{co},{window}",
        f"t2d:1,{h},{w},{ci},{co},{kernel + 1},2,{padding}",
        f"c1d:1,{rows},{ci},{co},{window}",
        f"dil:1,{h + 4},{w},{ci},{co},{kernel},1,{padding}",
        f"cbr:1,{h},{w},{ci},{co},{window}",
        f"cap:1,{h},5,3,{max(co, 3)},{window},3",
        f"grp:1,{h},{w},12,{4 * co},{window}",
    )[seed % 9]


def agrees(seed: int, rows: int) -> None:
    """Compare sampled candidates of every sketch with the untuned program."""
    ctx = context(odd_spec(seed))
    wanted = run(ctx, materialize(ctx, DEFAULT_PLAN).module)
    rng = np.random.default_rng(seed)
    for name, sketch in ctx.sketches.items():
        for row in sketch.sample(rng, rows):
            found = outputs_of(ctx, name, row)
            for left, right in zip(found, wanted, strict=True):
                scale = max(1.0, float(np.abs(right).max()))
                error = np.abs(left - right).max()
                assert error <= 2e-5 * scale * sketch.tolerance_scale, (ctx.workload.name, name, row.tolist())


@pytest.mark.parametrize("seed", range(9))
def test_odd_extents(seed: int) -> None:
    agrees(seed, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9, 72))
def test_more_odd_extents(seed: int) -> None:
    agrees(seed, 6)
