"""Compiled models compute what ONNX Runtime computes."""

import numpy as np
import onnxruntime
import pytest

from scripts.bench.definitions.graph import Graph
from search_space.hardware import resolve_target
from tests.assets.models.small import MODELS
from tuner.choice import Chooser
from tuner.compilation import Choice, compile_model, untuned
from tuner.compiled_model import random_input
from tuner.errors import JobFailed, UserError
from tuner.extract import lower
from tuner.frontends import Operators
from tuner.frontends.onnx_file import from_onnx
from tuner.frontends.python_file import from_object
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm


def reference(proto, arrays):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], arrays, strict=True)))


@pytest.mark.parametrize("name", MODELS)
def test_same_outputs_as_onnxruntime(name):
    proto = MODELS[name]()
    compiled = compile_model(from_onnx(proto), resolve_target(), untuned)
    random = np.random.default_rng(0)
    arrays = [random_input(tensor, random) for tensor in compiled.inputs]
    outputs, expected = compiled.run(*arrays), reference(proto, arrays)
    assert [t.name for t in compiled.outputs] == [o.name for o in proto.graph.output]
    assert len(outputs) == len(expected)
    for ours, theirs, tensor in zip(outputs, expected, compiled.outputs, strict=True):
        assert ours.shape == tensor.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


TRANSPOSED = {
    # Size, kernel, stride, padding: one position, cropped, with gaps; stride 1 with and without padding.
    "a position": (1, 4, 1, 0),
    "a position, cropped": (1, 4, 2, 1),
    "stride 1": (4, 4, 1, 0),
    "stride 1, padded": (5, 3, 1, 1),
    "stride 1, cropped": (5, 2, 1, 1),
    "stride 3": (3, 2, 3, 0),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions_of_every_kind(name):
    size, kernel, stride, padding = TRANSPOSED[name]
    g = Graph("g")
    x = g.conv_transpose(g.input("x", (2, 20, size, size)), (20, 18), kernel, stride, padding)
    proto = g.finish(g.op("Relu", g.batch_norm(x, 18)))
    for choose in (untuned, Chooser(resolve_target(), [])):
        compiled = compile_model(from_onnx(proto), resolve_target(), choose)
        assert {c.source for c in compiled.coverage} == {"default" if choose is untuned else "predicted"}
        array = np.random.default_rng(0).standard_normal(compiled.inputs[0].shape).astype("float32")
        np.testing.assert_allclose(compiled.run(array)[0], reference(proto, [array])[0], rtol=1e-3, atol=1e-3)


def test_every_task_is_in_the_coverage_with_its_share():
    lowered = lower(from_onnx(MODELS["residual_cnn"]()))
    seen = []

    def choose(workload):
        seen.append(workload.key)
        return Choice(workload.func, "tuned", "record 7", 0.5)

    compiled = compile_model(lowered, resolve_target(), choose)
    assert len(seen) == len(set(seen)) == len(compiled.coverage)
    assert sum(c.calls for c in compiled.coverage) == sum(lowered.calls.values())
    assert sum(c.share for c in compiled.coverage) == pytest.approx(1.0)
    assert {(c.source, c.reason) for c in compiled.coverage} == {("tuned", "record 7")}


def test_unknown_times_have_no_share():
    compiled = compile_model(from_onnx(MODELS["two_outputs"]()), resolve_target(), untuned)
    assert all(c.share is None and c.source == "default" for c in compiled.coverage)


def test_a_single_operator_compiles():
    operator = Operators("gmm", (named_workload("gmm:2,3,4,5"),))
    compiled = compile_model(operator, resolve_target(), untuned)
    random = np.random.default_rng(0)
    left, right = (random.standard_normal(t.shape).astype("float32") for t in compiled.inputs)
    np.testing.assert_allclose(compiled.run(left, right)[0], left @ right, rtol=1e-4, atol=1e-5)


def test_several_operators_are_refused():
    pair = Operators("pair.py:f", (named_workload("mm:2,2,2"), named_workload("sfm:2,2")))
    with pytest.raises(UserError, match="2 functions"):
        compile_model(pair, resolve_target(), untuned)


def test_a_schedule_of_another_workload_is_refused():
    other = named_workload("mm:2,3,5").func
    program = from_object(named_workload("mm:2,3,4").func, "mine")
    with pytest.raises(JobFailed, match="parameters"):
        compile_model(program, resolve_target(), lambda workload: Choice(other, "tuned", "wrong"))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((np.zeros((3, 4), "float32"),), ["2 inputs", "left", "right", "got 1"]),
        ((np.zeros((3, 4), "float32"), np.zeros((4, 6), "float32")), ["right", "[4, 5]", "[4, 6]"]),
        ((np.zeros((3, 4)), np.zeros((4, 5), "float32")), ["left", "float32", "float64"]),
        ((np.zeros((3, 4), "float32"), [[1.0]]), ["right", "list", "NumPy"]),
    ],
)
def test_wrong_inputs_are_named(two_outputs, arrays, words):
    with pytest.raises(UserError) as caught:
        two_outputs.run(*arrays)
    for word in words:
        assert word in str(caught.value)


@pytest.fixture(scope="module")
def two_outputs():
    return compile_model(from_onnx(MODELS["two_outputs"]()), resolve_target(), untuned)


def test_awkward_memory_is_copied(two_outputs):
    random = np.random.default_rng(0)
    left = random.standard_normal((4, 3)).astype("float32").T
    storage = np.zeros(21, "float32")
    right = storage[1:].reshape(4, 5)  # starts off a cache line
    right[:] = random.standard_normal((4, 5))
    right.flags.writeable = False
    np.testing.assert_allclose(two_outputs.run(left, right)[0], left @ right, rtol=1e-4, atol=1e-5)


def test_tensors_pass_without_a_copy(two_outputs):
    left, right = np.ones((3, 4), "float32"), np.ones((4, 5), "float32")
    tensors = two_outputs.run_tensors(left, right)
    assert len(two_outputs.run(np.from_dlpack(tensors[0])[:, :4].copy(), right)) == 2
    assert all(hasattr(tensor, "__dlpack__") for tensor in tensors)


def test_benchmark_reports_every_run(two_outputs):
    statistics = two_outputs.benchmark(5)
    assert len(statistics.runs_seconds) == 5
    assert statistics.minimum == min(statistics.runs_seconds)
    assert statistics.low <= statistics.median <= statistics.high
    with pytest.raises(UserError, match="repeats"):
        two_outputs.benchmark(0)
