import pytest

from search_space.tvm_api import tvm
from tuner.errors import UserError
from tuner.frontends import Model, Operators, load, parse
from tuner.frontends.python_file import from_object
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

SOURCE = """
from tvm import IRModule, relax
from tuner.workloads import named_workload

def one():
    return named_workload("mm:4,5,6").func

def several():
    return IRModule({"a": one(), "b": named_workload("sfm:3,4").func})

def network():
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((2, 3), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit_output(relax.op.nn.relu(relax.op.add(x, x)))
        builder.emit_func_output(y)
    return builder.get()

def broken():
    raise RuntimeError("no luck")

def number():
    return 3

constant = one()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return str(path)


def test_named_operator():
    (task,) = parse("gmm:1,8,8,8")
    assert (task.name, task.weight, task.models) == ("gmm:1,8,8,8", 1, ("gmm:1,8,8,8",))


def test_functions_of_a_file(file):
    one = load(f"{file}:one")
    assert isinstance(one, Operators)
    assert one.workloads[0].key == named_workload("mm:4,5,6").key
    assert [w.name for w in load(f"{file}:several").workloads] == [f"{file}:several/a", f"{file}:several/b"]
    assert len(parse(f"{file}:several")) == 2
    assert load(f"{file}:constant").workloads[0].key == one.workloads[0].key


def test_a_relax_module_is_a_model(file):
    model = load(f"{file}:network")
    assert isinstance(model, Model)
    (task,) = parse(f"{file}:network")
    assert task.name == "add_relu:2x3->2x3"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", ["no 'nothing'", "one"]),
        ("broken", ["RuntimeError", "no luck"]),
        ("number", ["int", "PrimFunc"]),
        ("", ["names no function"]),
    ],
)
def test_bad_functions(file, name, words):
    with pytest.raises(UserError) as caught:
        load(f"{file}:{name}")
    for word in words:
        assert word in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(f"{tmp_path}/absent.py:f")
    path = tmp_path / "syntax.py"
    path.write_text("def f(:")
    with pytest.raises(UserError, match="SyntaxError"):
        load(f"{path}:f")


@pytest.mark.parametrize("name", ["model.onnx", "model.py:f"])
def test_a_folder_is_called_one(tmp_path, name):
    (tmp_path / name.partition(":")[0]).mkdir()
    with pytest.raises(UserError, match=r"cannot read '.*model\.(onnx|py)': a folder, not a file"):
        load(str(tmp_path / name))


def test_unknown_words_list_the_forms():
    with pytest.raises(UserError, match=r"unknown workload 'resnet'.*\.onnx.*gmm.*file\.py:function"):
        load("resnet")


def test_dynamic_primfunc_is_refused():
    n = tvm.tirx.Var("n", "int32")
    x = tvm.te.placeholder((n,), name="x")
    func = tvm.te.create_prim_func([x, tvm.te.compute((n,), lambda i: x[i] + 1.0, name="y")])
    with pytest.raises(UserError, match="dynamic extent"):
        from_object(func, "mine")


def test_equal_functions_are_one_task(tmp_path):
    path = tmp_path / "twice.py"
    path.write_text(
        "from tvm import IRModule\nfrom tuner.workloads import named_workload\n"
        "def f():\n    func = named_workload('mm:2,3,4').func\n    return IRModule({'a': func, 'b': func})\n"
    )
    (task,) = parse(f"{path}:f")
    assert task.weight == 2
