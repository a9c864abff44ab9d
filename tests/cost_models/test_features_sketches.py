"""Features of what the generator really makes: each row depends on its candidate only."""

import numpy as np
import pytest

from cost_models.describe import describe
from search_space.candidate import context_of
from search_space.hardware import resolve_target
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


@pytest.mark.parametrize(
    "spec",
    [
        "gmm:1,48,24,96",
        "c2d:1,14,14,16,32,3,2,1",
        "dep:1,16,16,48,5,1,1",
        "sfm:24,160",
        "cap:1,6,6,4,8,3,1,1,4",
    ],
)
def test_candidates_have_the_same_features_alone_and_in_a_population(spec):
    context = context_of(named_workload(spec), resolve_target())
    rng = np.random.default_rng(0)
    for name, sketch in context.sketches.items():
        rows = sketch.sample(rng, 12)
        assert len(rows), name
        features, seconds = describe(sketch.nests(rows), context.hardware)
        assert np.isfinite(features).all()
        for index in range(0, len(rows), 3):
            alone, second = describe(sketch.nests(rows[index : index + 1]), context.hardware)
            np.testing.assert_allclose(alone[0], features[index], rtol=1e-4, atol=1e-4, err_msg=name)
            np.testing.assert_allclose(second[0], seconds[index], rtol=1e-4)


def test_rows_that_take_turns_are_seen():
    context = context_of(named_workload("sfm:64,256"), resolve_target())
    for sketch in context.sketches.values():
        names = [slot.name for slot in sketch.space.slots]
        place = next(index for index, name in enumerate(names) if name.endswith(".rows"))
        rows = np.repeat(sketch.sample(np.random.default_rng(0), 1), 2, axis=0)
        rows[:, place] = 0, 2
        features, _ = describe(sketch.nests(rows), context.hardware)
        assert (features[0] != features[1]).any()
