"""Layers as networks contain them, and how the workloads that are measured for training are drawn."""

import itertools

import numpy as np
import pytest

from scripts.bench.problems import SUITES
from scripts.collect_dataset import LAYERS, BestOfSketches, draw_layer, workloads
from scripts.network_layers import workload_of_text
from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from tuner.errors import UserError
from tuner.models import RunModel
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


@pytest.mark.parametrize(
    ("text", "name", "constants"),
    [
        ("c2d:1,8,8,16,24,3,1,1+add.relu", "conv2d_add_add_relu:1x8x8x16,3x3x16x24->1x8x8x24", (1, 2)),
        ("t2d:1,4,4,16,8,4,2,1+relu", "conv2d_transpose_add_relu:1x4x4x16,4x4x16x8->1x8x8x8", (1, 2)),
        ("mm:8,32,16+bias", "matmul_add:8x16,16x32->8x32", (1, 2)),
        ("dil:1,9,9,16,16,3,1,2+relu", "conv2d_add_relu:1x9x9x16,3x3x16x16->1x9x9x16", (1, 2)),
    ],
)
def test_a_layer_is_what_a_network_contains_and_its_weights_are_constant(text, name, constants) -> None:
    workload = workload_of_text(text)
    assert workload.name == name
    assert workload.constants == constants


@pytest.mark.parametrize("text", ["t2d:1,16,16,24,3,4,2,1+tanh", "c2d:1,16,16,24,3,3,1,1+relu"])
def test_every_sketch_of_a_layer_with_few_channels_can_be_scheduled(text: str) -> None:
    context = context_of(workload_of_text(text), resolve_target(threads=2))
    for name, sketch in context.sketches.items():
        rows = sketch.sample(np.random.default_rng(0), 2)
        assert len(rows), name
        for row in rows:
            assert materialize(context, sketch_plan(sketch, row)).module["main"] is not None


def test_a_text_without_a_tail_is_a_named_operator() -> None:
    assert workload_of_text("c2d:1,8,8,16,24,3,1,1").key == named_workload("c2d:1,8,8,16,24,3,1,1").key


@pytest.mark.parametrize(
    ("text", "message"),
    [("c2d:1,8,8,16,24,3,1,1+swish", "known are bias, relu"), ("sfm:8,8+relu", "use a convolution or mm")],
)
def test_what_is_no_layer_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        workload_of_text(text)


def test_workloads_are_the_same_for_a_seed_and_of_no_benchmark() -> None:
    first = list(itertools.islice(workloads(("c2d", "t2d"), 3), 40))
    assert first == list(itertools.islice(workloads(("c2d", "t2d"), 3), 40))
    texts = [text.partition("+")[0] for _, text in first]
    assert len(set(texts)) == 40
    assert not set(texts) & {text for suite in SUITES.values() for text in suite}
    assert [index for index, text in first if "+" not in text] == list(range(0, 40, 3))


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_can_be_drawn(kind: str) -> None:
    for seed in range(20):
        text = draw_layer(kind, np.random.default_rng(seed))
        named, plus, _ = text.partition("+")
        assert plus
        assert named_workload(named).flops > 1


def test_the_best_of_every_sketch_is_proposed_and_of_the_more_promising_more() -> None:
    context = context_of(workload_of_text("c2d:1,12,12,32,32,3,1,1+relu"), resolve_target(threads=2))
    model = RunModel(context.hardware, 0, disable=("pretrained",))
    proposals = BestOfSketches(context, model, np.random.default_rng(0)).propose(len(context.sketches) + 4)
    assert {p.sketch for p in proposals[:-4]} == set(context.sketches)
    assert len({p.key for p in proposals}) == len(proposals)
    others = [p.predicted_seconds for p in proposals[-4:]]
    assert others == sorted(others)
