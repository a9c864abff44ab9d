"""Our columns against TVM's extractor, which lowers, where both define the same quantity."""

import sys
from types import ModuleType

import numpy as np
import pytest
from tvm.s_tir.meta_schedule import TuneContext
from tvm.s_tir.meta_schedule.feature_extractor import PerStoreFeature
from tvm.s_tir.meta_schedule.search_strategy import MeasureCandidate

from cost_models.features import COLUMNS, extract
from cost_models.features.columns import COLUMN_INDEX
from search_space.tvm_api import IRModule
from tests.search_space.programs import context

pytestmark = pytest.mark.tvm

# Places in TVM's vector (feature_extractor/per_store_feature.cc); counts are log2(1 + x) as ours are.
FLOAT_OPS = slice(0, 7)
VECTOR_LENGTH, UNROLLED, PARALLEL = 16 + 1, 27 + 1, 38 + 1
CANDIDATES = 6


@pytest.fixture(autouse=True)
def without_intrinsics(monkeypatch):
    """A context of TVM's tuner imports the intrinsics of every target: half a minute for nothing."""
    name = "tvm.s_tir.tensor_intrin"
    monkeypatch.setitem(sys.modules, name, sys.modules.get(name, ModuleType(name)))


def lowered(ctx, sketch, row):
    """Return TVM's features of the statement with the most arithmetic, as plain numbers."""
    func = sketch.func.with_attr("global_symbol", "main")
    tuning = TuneContext(mod=IRModule({"main": func}), target=ctx.target)
    candidate = MeasureCandidate(sketch.schedule(row), [])
    stores = PerStoreFeature().extract_from(tuning, [candidate])[0].numpy()
    values = np.exp2(stores) - 1
    return values[np.argmax(values[:, FLOAT_OPS].sum(axis=1))]


def ours(features, name):
    value = float(features[COLUMN_INDEX[name]])
    return 2.0**value - 1 if COLUMNS[COLUMN_INDEX[name]].is_log else value


@pytest.mark.parametrize("spec", ["gmm:1,32,48,64", "c2d:1,8,8,16,32,1,1,0", "c1d:1,32,16,32,1,1,0"])
def test_columns_agree_with_the_lowered_program(spec):
    ctx = context(spec)
    rng = np.random.default_rng(11)
    for name, sketch in ctx.sketches.items():
        rows = sketch.sample(rng, CANDIDATES)
        assert len(rows), name
        nests = sketch.nests(rows)
        (main,) = (stage for stage in nests.stages if stage.stage == "compute")
        for i, (row, features) in enumerate(zip(rows, extract(nests, ctx.hardware), strict=True)):
            theirs = lowered(ctx, sketch, row)
            where = f"{name} {row.tolist()}"
            flops = theirs[FLOAT_OPS].sum()
            assert ours(features, "main_flops") == pytest.approx(flops, rel=1e-4), where
            lanes = max(1.0, theirs[VECTOR_LENGTH])
            assert ours(features, "vector_lanes") == pytest.approx(lanes, rel=1e-4), where
            tasks = max(1.0, theirs[PARALLEL])
            assert ours(features, "parallel_tasks") == pytest.approx(tasks, rel=1e-4), where
            unrolled = np.prod(main.extents[i][main.unrolled[i]])
            assert unrolled == pytest.approx(max(1.0, theirs[UNROLLED]), rel=1e-4), where
