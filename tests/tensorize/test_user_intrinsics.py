"""An intrinsic from a user's file: offered, right, used in the children, refused when it cannot be used."""

import json
from pathlib import Path

import numpy as np
import pytest

import tuner
from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import hardware_of, resolve_target
from search_space.tensorize import intrinsic_named
from search_space.tvm_api import tvm
from search_space.user_rules import RulesRefused, load_rules
from tuner.measure.build import compile_module
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "wide_dot.py"
PLACE = f"{EXAMPLE}:INTRINSICS"
WORKLOAD = "mm:24,32,20"


@pytest.fixture
def only_here(monkeypatch):
    """Forget the intrinsic again: other tests see the shipped ones only."""
    from search_space.tensorize import registry

    monkeypatch.setattr(registry, "_added", {})
    load_rules.cache_clear()


needs_avx512 = pytest.mark.skipif(
    "avx512f" not in hardware_of(resolve_target(threads=1)).instruction_sets, reason="this CPU has no AVX-512"
)


@needs_avx512
def test_the_example_is_offered_and_right(only_here) -> None:
    assert load_rules(PLACE) == ()
    ctx = context_of(named_workload(WORKLOAD), resolve_target(threads=1))
    sketch = ctx.sketches["tiled.wide_dot"]
    rng = np.random.default_rng(0)
    left, right = rng.random((24, 20), np.float32), rng.random((20, 32), np.float32)
    for row in sketch.sample(rng, 4):
        built = compile_module(materialize(ctx, sketch_plan(sketch, row)).module, ctx.target)
        result = tvm.runtime.tensor(np.full((24, 32), np.nan, np.float32))
        built["main"](tvm.runtime.tensor(left), tvm.runtime.tensor(right), result)
        np.testing.assert_allclose(result.numpy(), left @ right, rtol=1e-5)


@needs_avx512
def test_children_know_it_and_the_log_names_it(only_here, tmp_path) -> None:
    log = tmp_path / "run.jsonl"
    options = tuner.TuneOptions(trials=24, batch=8, strategy="random", log=log, rules=PLACE, threads=1)
    result = tuner.tune(named_workload(WORKLOAD).func, options=options)
    assert result.tasks[0].failed == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert "tiled.wide_dot" in [line.get("plan", {}).get("sketch") for line in lines]


def test_loading_it_twice_changes_nothing(only_here) -> None:
    load_rules(PLACE)
    load_rules.cache_clear()
    load_rules(PLACE)
    assert intrinsic_named("wide_dot").features == ("avx512f",)


def test_a_taken_name_is_one_line(only_here, tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(EXAMPLE.read_text().replace('Intrinsic("wide_dot"', 'Intrinsic("bf16"'))
    with pytest.raises(RulesRefused, match="registered already"):
        load_rules(f"{path}:INTRINSICS")


def test_a_bad_description_is_one_line(only_here, tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(EXAMPLE.read_text().replace("C[vi] = C[vi] + A[vk] * B[vi, vk]", "C[vi] = A[vk]"))
    with pytest.raises(RulesRefused, match="must be one block"):
        load_rules(f"{path}:INTRINSICS")
