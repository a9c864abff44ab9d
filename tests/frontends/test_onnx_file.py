import numpy as np
import pytest
from onnx import TensorProto, helper

from scripts.bench.definitions.graph import Graph
from tests.assets.models.small import residual_cnn
from tuner.errors import UserError
from tuner.frontends import Model, load
from tuner.frontends.onnx_file import from_onnx

pytestmark = pytest.mark.tvm


def save(tmp_path, model):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def dynamic_model(*dims):
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(
        helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


def test_names_and_shapes(tmp_path):
    model = load(save(tmp_path, residual_cnn()))
    assert isinstance(model, Model)
    assert model.name == "model"
    assert [(t.name, t.shape, t.dtype) for t in model.inputs] == [("image", (1, 3, 16, 16), "float32")]
    assert [t.shape for t in model.outputs] == [(1, 10)]


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x08", b"{}"])
def test_not_an_onnx_model(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.onnx is not an ONNX model"):
        load(str(path))


def test_missing_file():
    with pytest.raises(UserError, match=r"cannot read 'nowhere\.onnx'"):
        load("nowhere.onnx")


def test_dynamic_shape_names_the_input_and_the_remedy(tmp_path):
    path = save(tmp_path, dynamic_model("batch", 3, "height", 224))
    with pytest.raises(UserError, match=r"input 'x'.*batch,3,height,224.*--input-shape x=1,3,224,224"):
        load(path)
    assert load(path, {"x": (2, 3, 8, 8)}).inputs[0].shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"x": (1, 0)}, ["positive"]),
        ({"x": (1,)}, ["2 dimensions"]),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, shapes, words):
    path = save(tmp_path, dynamic_model("batch", 3))
    with pytest.raises(UserError) as caught:
        load(path, shapes)
    for word in words:
        assert word in str(caught.value)


def test_unsupported_operator_names_operator_and_node(tmp_path):
    model = dynamic_model(1, 3)
    model.graph.node[0].op_type = "FancyRelu"
    with pytest.raises(
        UserError, match=r"FancyRelu of node 'relu' \(number 0\) with input shapes 1x3 is unsup"
    ):
        load(save(tmp_path, model))
    model.graph.node.append(model.graph.node[0])
    with pytest.raises(UserError, match=r"unsupported \(and 1 more node\)"):
        load(save(tmp_path, model))
    model.graph.node[0].op_type = "Relu"
    model.graph.node[0].domain = "com.example"
    with pytest.raises(UserError, match=r"com\.example\.Relu of node 'relu'"):
        load(save(tmp_path, model))


def test_a_node_that_cannot_be_converted_is_named(capsys):
    g = Graph("bad")
    x = g.input("x", (2, 3))
    g.op("MatMul", x, g.weight(3, 4))
    node = g._nodes[-1]
    y = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    node.input[1] = x  # 2 x 3 times 2 x 3
    graph = helper.make_graph(g._nodes, "bad", g._inputs, [y], g._weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(UserError, match=r"operator MatMul of node 'matmul_\d+' with input shapes"):
        from_onnx(model)
    assert capsys.readouterr().out == ""


def test_negative_constant_index_and_clip_bounds():
    g = Graph("small")
    x = g.op("Clip", g.input("x", (4, 3)), "", g.scalar(1.0))
    model = from_onnx(g.finish(g.op("Gather", x, g.constant(np.array(-1)), axis=0)))
    assert model.outputs[0].shape == (3,)
