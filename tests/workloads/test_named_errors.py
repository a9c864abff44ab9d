import pytest

from tuner.errors import UserError
from tuner.workloads import OPERATORS, is_named, named_workload

pytestmark = pytest.mark.tvm


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("matmull:1,2,3", ["matmull", *OPERATORS]),
        ("gmm:1,2", ["2 arguments", "takes 4", "gmm:batch,rows,columns,inner"]),
        ("gmm:1,2,3,4,5", ["5 arguments", "takes 4"]),
        ("gmm:", ["0 arguments"]),
        ("c2d:1,8,8,4,4,3,1", ["7 arguments", "8 to 10"]),
        ("gmm:1,0,3,4", ["rows", "0", "at least 1"]),
        ("gmm:1,3,-3,4", ["columns", "-3"]),
        ("gmm:1,3,x,4", ["columns", "'x'", "whole number"]),
        ("c2d:1,8,8,4,4,3,1,-1", ["padding", "-1", "at least 0"]),
        ("c2d:1,8,8,4,4,3,1,1,1,3", ["in_channels", "groups=3"]),
        ("c2d:1,2,8,4,4,3,1,0", ["height", "kernel=3", "no output"]),
        ("t2d:1,1,4,4,4,1,2,1", ["height", "no output"]),
        ("gmm:1,4,4,4,dtype=int4", ["dtype", "int4", "float32", "int8"]),
        ("sfm:4,4,dtype=int8", ["dtype", "int8"]),
        ("gmm:1,4,4,4,layout=nhwc", ["layout", "dtype="]),
    ],
)
def test_bad_argument_is_named(spec, words):
    with pytest.raises(UserError) as caught:
        named_workload(spec)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert caught.value.exit_code == 2


def test_every_operator_documents_its_arguments():
    assert list(OPERATORS)[:13] == [
        "c1d",
        "c2d",
        "c3d",
        "gmm",
        "grp",
        "dil",
        "dep",
        "t2d",
        "cap",
        "nrm",
        "sfm",
        "cbr",
        "tbg",
    ]
    for operator in OPERATORS.values():
        assert operator.summary
        assert operator.usage.startswith(operator.name + ":")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("gmm:1,2", True), ("nope:1", True), ("gmm:", True), ("model.onnx", False), ("file.py:function", False)],
)
def test_what_looks_like_a_named_operator(text, expected):
    assert is_named(text) is expected
