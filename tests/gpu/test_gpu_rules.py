"""Every rule of a GPU: what it takes, and that candidates of its sketches are valid and right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

import numpy as np
import pytest

from search_space.candidate import materialize, sketch_plan
from search_space.generate import Rule, generate
from search_space.gpu.rules import GPU_RULES
from search_space.tvm_api import IRModule
from tests.gpu.programs import gpu_context, outputs_of, serial
from tests.gpu.test_gpu_golden import CASES

pytestmark = pytest.mark.tvm

TAKES = {
    "tile_with_consumer": ("cbr:1,8,8,16,32,3,1,1", "fused"),
    "tile": ("gmm:1,64,64,64", "tiled"),
    "rows": ("sfm:32,64", "rows"),
    "factor_with_consumer": ("nrm:1,64,64", "shared"),
    "factor": ("few sums", "shared"),
    "bind": ("scaled", "plain"),
}
"""Rule to a program whose last block it takes, and the sketch that it makes of it."""


def test_every_rule_is_here_and_has_a_golden_sketch() -> None:
    assert [rule.__name__ for rule in GPU_RULES] == list(TAKES)
    assert set(TAKES.values()) <= set(CASES)


@pytest.mark.parametrize("name", TAKES)
def test_a_rule_takes_what_the_rules_before_it_leave(name: str) -> None:
    spec, label = TAKES[name]
    ctx = gpu_context(spec)
    taken: list[tuple[str, str]] = []

    def noting(rule: Rule[Any]) -> Rule[Any]:
        @wraps(rule)
        def noted(state: Any, block: Any) -> Sequence[Any]:
            derived = rule(state, block)
            if derived:
                taken.append((rule.__name__, block.name))
            return derived

        return noted

    sketches = generate(ctx.workload.func, spec, 1.0, ctx.hardware, [noting(rule) for rule in GPU_RULES])
    assert label in {sketch.name for sketch in sketches}
    assert taken[0][0] == name


@pytest.mark.parametrize(("spec", "label"), [*TAKES.values(), ("sums over axes", "rows")])
def test_candidates_of_a_rule_are_valid_and_right(spec: str, label: str) -> None:
    ctx = gpu_context(spec)
    sketch = ctx.sketches[label]
    rows = sketch.sample(np.random.default_rng(8), 32)
    assert len(rows) and sketch.valid(rows).all()
    wanted = outputs_of(ctx, IRModule({"main": ctx.workload.func.with_attr("global_symbol", "main")}))
    for row in rows[:4]:
        found = outputs_of(ctx, serial(materialize(ctx, sketch_plan(sketch, row)).module))
        scale = max(1.0, float(np.abs(wanted[0]).max()))
        assert np.abs(found[0] - wanted[0]).max() <= 2e-5 * scale, row.tolist()
