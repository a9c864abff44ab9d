"""What only touches weights is not part of a measured time, and a record says so by its key."""

import numpy as np
import pytest

from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import resolve_target, target_text
from search_space.tiling import PACKED_AT_ROOT
from search_space.workload import workload_from_program, workload_of
from tuner.measure.base import MeasureTask
from tuner.measure.buffers import Arguments
from tuner.measure.build import build_timed
from tuner.measure.kernels import local_kernel
from tuner.measure.local import LocalMeasurer
from tuner.measure.weights import without_packing
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

SPEC = "gmm:1,16,32,24"


def dense(constants=(1,)):
    return workload_of(named_workload(SPEC).func, "dense", constants)


def packed_plan(context):
    """Return a candidate; all pack their right operand, a weight, before the computation."""
    sketch = next(iter(context.sketches.values()))
    return sketch_plan(sketch, sketch.sample(np.random.default_rng(0), 1)[0])


def test_a_constant_operand_is_part_of_the_identity():
    plain, weighted = dense(()), dense()
    assert plain.key == named_workload(SPEC).key != weighted.key
    again = workload_from_program(weighted.program(), "again")
    assert (again.key, again.constants) == (weighted.key, (1,))
    with pytest.raises(ValueError, match="no inputs"):
        dense((2,))


def test_packing_a_weight_costs_nothing_and_is_no_decision():
    target = resolve_target(threads=2)
    for constants, free in (((), False), ((1,), True)):
        sketch = next(iter(context_of(dense(constants), target).sketches.values()))
        rows = sketch.sample(np.random.default_rng(0), 64)
        nest = [n for n in sketch.nests(rows).stages if n.stage == "pack"][1]
        assert any(slot.name == "batch_matmul.pack.right" for slot in sketch.space.slots) != free
        if free:
            assert (nest.executions == 0).all()
        else:
            where = sketch.space.columns(rows).choice("batch_matmul.pack.right")
            assert (nest.executions[where == PACKED_AT_ROOT] == 1).all()


def test_the_transform_of_a_winograd_weight_is_no_stage():
    target = resolve_target(threads=2)
    plain = named_workload("c2d:1,14,14,16,32,3,1,1")
    stages = {}
    for constants in ((), (1,)):
        sketch = context_of(workload_of(plain.func, "conv", constants), target).sketches["winograd2-tiled"]
        stages[constants] = len(sketch.nests(sketch.sample(np.random.default_rng(0), 4)).stages)
    assert stages[(1,)] == stages[()] - 1


def test_the_timed_kernel_reads_panels_and_a_check_packs_again():
    workload = dense()
    context = context_of(workload, resolve_target(threads=2))
    module, packing = without_packing(
        materialize(context, packed_plan(context)).module, workload, context.target
    )
    assert packing is not None and (packing.sources, packing.kept) == ((1,), (0,))
    arguments = Arguments.allocate(workload.args)
    arguments.fill("random", 0, False)
    left, right, out = (buffer.array for buffer in arguments.buffers)
    kernel = local_kernel(build_timed(module, context.target), arguments, packing)
    kernel.first()
    expected = left @ right
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    right += 1.0
    kernel.first()
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    kernel.call()
    np.testing.assert_allclose(out, left @ right, rtol=1e-5, atol=1e-5)


def test_a_candidate_that_packs_a_weight_is_measured_and_right():
    workload, target = dense(), resolve_target(threads=2)
    plan = packed_plan(context_of(workload, target))
    with LocalMeasurer() as measurer:
        measurer.open(MeasureTask(workload.key, workload.program(), target_text(target), workload.name, 2))
        (result,) = measurer.measure(workload.key, [plan], None)
    assert result.failure is None
    assert result.verdict is not None and result.verdict.ok
    assert {"random", "integers"} <= set(result.verdict.checks)
