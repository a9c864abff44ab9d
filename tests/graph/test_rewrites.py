"""What the rewrites leave of small models."""

from collections import Counter

import numpy as np
import pytest

from scripts.bench.definitions.graph import Graph
from search_space.tvm_api import tvm
from tests.assets.models.small import MODELS
from tuner.extract import lower, tasks_of
from tuner.frontends.onnx_file import from_onnx
from tuner.graph.channels_last import channels_last
from tuner.graph.rewriter import name_of
from tuner.graph.simplify import simplify
from tuner.graph.weights import lift_weights

pytestmark = pytest.mark.tvm


def operators(module):
    """Count the operators of a module's main."""
    names = [
        name_of(binding.value).removeprefix("relax.")
        for block in module["main"].body.blocks
        for binding in block.bindings
    ]
    return Counter(name for name in names if name)


def test_batch_norm_moves_into_the_weights():
    g = Graph("g")
    x = g.conv(g.input("x", (1, 3, 8, 8)), (3, 4), (3, 3), bias=True)
    module = from_onnx(g.finish(g.op("Relu", g.batch_norm(x, 4)))).module
    assert operators(simplify(module)) == {"nn.conv2d": 1, "add": 1, "nn.relu": 1}


def test_batch_norm_stays_where_the_convolution_has_another_user():
    g = Graph("g")
    x = g.conv(g.input("x", (1, 3, 8, 8)), (3, 4), (3, 3))
    module = from_onnx(g.finish(g.op("Add", x, g.batch_norm(x, 4)))).module
    found = operators(simplify(module))
    assert found["nn.conv2d"] == 1
    assert found["multiply"] == 1


def test_scale_moves_into_transposed_convolution_and_matmul():
    g = Graph("g")
    x = g.batch_norm(g.conv_transpose(g.input("x", (1, 3, 4, 4)), (3, 4), 4, 2, 1), 4)
    y = g.op("Mul", g.op("MatMul", x, g.weight(8, 5)), g.weight(5))
    assert operators(simplify(from_onnx(g.finish(y)).module)) == {
        "nn.conv2d_transpose": 1,
        "add": 1,
        "matmul": 1,
    }


def test_matmul_bias_is_not_scaled_by_a_row_factor():
    g = Graph("g")
    y = g.op("Mul", g.op("MatMul", g.input("x", (2, 3)), g.weight(3, 4)), g.weight(2, 1))
    assert operators(simplify(from_onnx(g.finish(y)).module))["multiply"] == 1


def test_transposed_weights_and_shape_arithmetic_are_constants():
    g = Graph("g")
    x = g.input("x", (2, 3, 4))
    shape = g.op("Concat", g.op("Slice", g.op("Shape", x), g.shape(0), g.shape(1)), g.shape(12), axis=0)
    y = g.dense(g.op("Reshape", x, shape), (12, 5))
    assert operators(simplify(from_onnx(g.finish(y)).module)) == {"reshape": 1, "matmul": 1, "add": 1}


@pytest.mark.parametrize("name", ["residual_cnn", "depthwise_cnn", "generator", "video_cnn"])
def test_permutations_are_left_at_the_borders_only(name):
    module = channels_last(simplify(from_onnx(MODELS[name]()).module))
    assert operators(module)["permute_dims"] <= 2
    layouts = {
        str(binding.value.attrs.data_layout)[-1]
        for block in module["main"].body.blocks
        for binding in block.bindings
        if "conv" in name_of(binding.value)
    }
    assert layouts == {"C"}


def test_attention_moves_nothing():
    tasks = tasks_of(from_onnx(MODELS["transformer"]()))
    assert not any("transpose" in task.name or "reshape" in task.name for task in tasks)


def test_patches_become_tokens_by_a_reshape():
    g = Graph("g")
    x = g.conv(g.input("x", (1, 3, 8, 8)), (3, 6), (4, 4), (4, 4))
    x = g.op("Transpose", g.op("Reshape", x, g.shape(1, 6, 4)), perm=[0, 2, 1])
    found = operators(channels_last(simplify(from_onnx(g.finish(x)).module)))
    assert found["permute_dims"] == 1  # of the image; none behind the convolution


def test_pooling_and_means_follow_the_channels():
    g = Graph("g")
    x = g.op("Sigmoid", g.conv(g.input("x", (1, 3, 8, 8)), (3, 4), (3, 3)))
    pooled = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    module = channels_last(
        simplify(from_onnx(g.finish(g.op("ReduceMean", pooled, axes=[2, 3], keepdims=0))).module)
    )
    assert operators(module)["permute_dims"] == 1


def test_flattened_linear_layers_keep_batch_and_sequence():
    g = Graph("g")
    x = g.input("x", (2, 6, 8))
    y = g.op("Relu", g.linear(g.op("Reshape", x, g.shape(12, 8)), (8, 8)))
    y = g.op("Add", g.op("Reshape", y, g.shape(2, 6, 8)), x)
    (task,) = tasks_of(from_onnx(g.finish(y)))
    assert task.name == "matmul_add_relu_add:2x6x8,8x8->2x6x8"


def test_a_flattened_image_stays_a_row():
    g = Graph("g")
    x = g.op("Flatten", g.input("x", (1, 1, 1, 8)), axis=1)
    tasks = tasks_of(from_onnx(g.finish(g.dense(x, (8, 5)))))
    assert "matmul_add:1x8,8x5->1x5" in [task.name for task in tasks]


def test_merged_batches_and_heads_are_taken_apart():
    g = Graph("g")
    left = g.op("Reshape", g.input("left", (2, 3, 4, 5)), g.shape(6, 4, 5))
    right = g.op("Reshape", g.input("right", (2, 3, 5, 7)), g.shape(6, 5, 7))
    y = g.op("Reshape", g.op("MatMul", left, right), g.shape(2, 3, 4, 7))
    assert operators(simplify(from_onnx(g.finish(y)).module)) == {"matmul": 1}


def test_equal_layers_are_one_task():
    g = Graph("g")
    x = g.input("x", (1, 8, 8, 8))
    for _ in range(3):
        x = g.op("Relu", g.batch_norm(g.conv(x, (8, 8), (3, 3), padding=(1, 1)), 8))
    tasks = tasks_of(from_onnx(g.finish(x), name="net"))
    assert [t.weight for t in tasks if t.name.startswith("conv2d_add_relu")] == [3]
    convolution = next(t for t in tasks if t.name.startswith("conv2d_add_relu"))
    assert convolution.name == "conv2d_add_relu:1x8x8x8,3x3x8x8->1x8x8x8"
    assert convolution.models == ("net",)
    assert convolution.workload.constants == (1, 2)


def test_tasks_count_in_32_bits_like_named_operators():
    lowered = lower(from_onnx(MODELS["residual_cnn"]()))
    assert not any("int64" in workload.func.script() for workload in lowered.workloads.values())


def test_look_ups_outside_of_the_table_are_clipped():
    lowered = lower(from_onnx(MODELS["transformer"]()))
    take = next(w for w in lowered.workloads.values() if w.name.startswith("take"))
    assert "T.max" in take.func.script()


def test_weights_become_one_parameter():
    lowered = lower(from_onnx(MODELS["residual_cnn"]()))
    module, arrays = lift_weights(lowered.module)
    assert len(module["main"].params) == 2
    assert sorted(a.shape for a in arrays if a.ndim == 4) == [(3, 3, 3, 16), (3, 3, 16, 16), (3, 3, 16, 16)]
    assert not [a for a in arrays if a.nbytes < 64]


def test_control_flow_is_left_alone():
    relax = tvm.relax
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((2,), "float32"))
    flag = relax.Var("flag", relax.TensorType((), "bool"))
    with builder.function("main", [x, flag]):
        branch = relax.If(flag, relax.op.add(x, relax.const(np.ones(2, "float32"))), x)
        builder.emit_func_output(builder.emit(branch))
    module = builder.get()
    assert simplify(module).same_as(module)
    assert lift_weights(module)[1] == []
