"""A small network whose weights and values are all float16."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def half_cnn(size: int = 16) -> onnx.ModelProto:
    """A padded 3 x 3 and a strided 1 x 1 convolution with ReLUs, a mean, a linear layer and a softmax."""
    rng = np.random.default_rng(0)
    shapes = {
        "w1": (32, 16, 3, 3),
        "b1": (32,),
        "w2": (64, 32, 1, 1),
        "b2": (64,),
        "w3": (48, 64),
        "b3": (48,),
    }
    weights = [
        numpy_helper.from_array((0.1 * rng.standard_normal(shape)).astype(np.float16), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["g"], transB=1),
        helper.make_node("Softmax", ["g"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, (1, 16, size, size))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, (1, 48))],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
