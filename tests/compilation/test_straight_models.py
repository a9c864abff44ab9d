"""Models without branches run as one function on memory of their own; others on TVM's virtual machine."""

import threading

import numpy as np
import pytest

from search_space.hardware import resolve_target
from search_space.tvm_api import tvm
from tests.assets.models.small import MODELS
from tuner.compilation import compile_model, untuned
from tuner.compiled_model import load, random_input
from tuner.frontends.onnx_file import from_onnx
from tuner.profile import profile_layers
from tuner.straight_program import Operand, StraightProgram

pytestmark = pytest.mark.tvm

relax = tvm.relax
FLOATS = relax.TensorType((2, 4), "float32")


@pytest.fixture(scope="module")
def cnn():
    return compile_model(from_onnx(MODELS["residual_cnn"]()), resolve_target(), untuned)


def inputs_of(model, seed=0):
    random = np.random.default_rng(seed)
    return [random_input(tensor, random) for tensor in model.inputs]


def module_of(emit):
    """Write a model of one input, ``x``, in Relax."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", FLOATS)
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(emit(builder, x))
        builder.emit_func_output(output)
    return builder.get()


def test_results_of_earlier_runs_stay(cnn):
    first, second = inputs_of(cnn, 0), inputs_of(cnn, 1)
    before = cnn.run(*first)[0]
    kept = before.copy()
    assert not np.array_equal(cnn.run(*second)[0], kept)
    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(cnn.run(*first)[0], kept)


def test_threads_take_turns(cnn):
    inputs = [inputs_of(cnn, seed) for seed in range(4)]
    expected = [cnn.run(*arrays)[0].copy() for arrays in inputs]
    right = [True] * 4

    def work(index):
        for _ in range(20):
            right[index] &= np.array_equal(cnn.run(*inputs[index])[0], expected[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(right)


def test_every_kernel_is_announced_and_computes_the_same(cnn, tmp_path):
    arrays = inputs_of(cnn)
    expected = cnn.run(*arrays)[0].copy()
    for model in (cnn, load(cnn.save(tmp_path / "cnn.so"))):
        seen = []
        with model.instrumented(lambda symbol, shapes, before, seen=seen: seen.append((symbol, before))):
            np.testing.assert_array_equal(model.run(*arrays)[0], expected)
        steps = [step.symbol for step in model.description.program.steps]
        assert seen == [(symbol, before) for symbol in steps for before in (True, False)]
        assert [call.symbol for call in profile_layers(model, repeats=1, warmup=0)] == steps


def test_a_program_survives_json(cnn):
    program = cnn.description.program
    assert StraightProgram.from_dict(program.to_dict()) == program


def test_unknown_memory_is_refused():
    with pytest.raises(ValueError, match="weights"):
        Operand("stack", 0, (1,), "float32")


def test_reshapes_look_at_the_same_memory():
    def emit(builder, x):
        doubled = builder.emit(relax.op.add(x, x))
        flat = builder.emit(relax.op.reshape(doubled, (8,)))
        return builder.emit(relax.op.reshape(builder.emit(relax.op.exp(flat)), (4, 2)))

    model = compile_model(module_of(emit), resolve_target(), untuned)
    x = np.random.default_rng(0).standard_normal((2, 4)).astype("float32")
    assert model.description.program is not None
    np.testing.assert_allclose(model.run(x)[0], np.exp(2 * x).reshape(4, 2), rtol=1e-5)


def test_an_input_that_is_returned_is_left_to_the_virtual_machine():
    def emit(builder, x):
        return builder.emit(relax.Tuple([x, builder.emit(relax.op.add(x, x))]))

    model = compile_model(module_of(emit), resolve_target(), untuned)
    x = np.ones((2, 4), "float32")
    assert model.description.program is None
    same, doubled = model.run(x)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(doubled, 2 * x)
    seen = []
    with model.instrumented(lambda symbol, shapes, before: seen.append((shapes, before))):
        model.run(x)
    assert seen == [([(2, 4)] * 3, True), ([(2, 4)] * 3, False)]


def test_a_result_that_is_returned_twice_is_left_to_the_virtual_machine():
    def emit(builder, x):
        doubled = builder.emit(relax.op.add(x, x))
        return builder.emit(relax.Tuple([doubled, doubled]))

    model = compile_model(module_of(emit), resolve_target(), untuned)
    x = np.ones((2, 4), "float32")
    assert model.description.program is None
    assert all(np.array_equal(result, 2 * x) for result in model.run(x))
