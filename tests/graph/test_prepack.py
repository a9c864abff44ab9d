"""Weights are packed when a model is compiled, not when it runs."""

import numpy as np
import pytest

from scripts.bench.definitions.graph import Graph
from search_space.hardware import resolve_target
from search_space.tvm_api import Schedule
from tuner.compilation import Choice, compile_model
from tuner.extract import lower
from tuner.frontends.onnx_file import from_onnx
from tuner.graph.prepack import split
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


def packed(func, block="matmul", read=1):
    """Pack one operand into panels of four columns, in parallel."""
    schedule = Schedule(func)
    consumer = schedule.get_sblock(block)
    panel = schedule.cache_read(consumer, read, "global")
    schedule.transform_layout(consumer, ("read", read), lambda k, j: (j // 4, k, j % 4))
    schedule.parallel(schedule.get_loops(panel)[0])
    return schedule.mod["main"]


def test_a_panel_of_a_weight_becomes_a_parameter():
    found = split(packed(named_workload("mm:8,12,16").func), (1,))
    assert found is not None
    assert found.shapes == (((3, 16, 4), "float32"),)
    assert (found.sources, found.kept) == ((1,), (0,))
    assert "parallel" not in found.pack.script()
    assert "parallel" not in found.compute.script()
    assert [tuple(int(e) for e in p.shape) for p in found.compute.params] == [(8, 16), (3, 16, 4), (8, 12)]


def test_a_panel_of_an_activation_stays():
    func = packed(named_workload("mm:8,12,16").func)
    assert split(func, ()) is None
    assert split(func, (0,)) is None


def test_a_function_of_one_stage_has_nothing_to_split():
    assert split(named_workload("mm:8,12,16").func, (1,)) is None


def test_a_model_stores_panels_and_computes_the_same():
    g = Graph("g")
    x = g.input("x", (8, 16))
    y = g.linear(g.op("Relu", g.linear(x, (16, 16))), (16, 16))
    lowered = lower(from_onnx(g.finish(y)))
    plain = compile_model(lowered, resolve_target(), lambda w: Choice(None, "default", "plain"))
    with_panels = compile_model(
        lowered, resolve_target(), lambda w: Choice(packed(w.func), "tuned", "panels")
    )
    array = np.random.default_rng(0).standard_normal((8, 16)).astype("float32")
    np.testing.assert_allclose(with_panels.run(array)[0], plain.run(array)[0], rtol=1e-5, atol=1e-5)
    program = with_panels.description.program
    operands = {o for step in program.steps for o in step.operands if o.space == "weights"}
    assert sorted(o.shape for o in operands) == [(4, 16, 4), (4, 16, 4), (16,), (16,)]
