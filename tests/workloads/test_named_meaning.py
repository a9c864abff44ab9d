"""Our definitions mean what the peer's definitions mean."""

import numpy as np
import pytest
from tvm.s_tir.meta_schedule.testing import te_workload

from search_space.tvm_api import te, tvm
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

# (our text, the peer's definition, its arguments). Shapes are awkward on purpose.
CASES = [
    ("c1d:2,9,4,6,3,2,1", "conv1d_nlc", (2, 9, 4, 6, 3, 2, 1)),
    ("c2d:1,7,6,4,8,3,2,1", "conv2d_nhwc", (1, 7, 6, 4, 8, 3, 2, 1)),
    ("c2d:1,7,6,4,8,3,1,2,2,2", "conv2d_nhwc", (1, 7, 6, 4, 8, 3, 1, 2, 2, 2)),
    ("c2d:2,5,5,3,4,1,1,0", "conv2d_nhwc", (2, 5, 5, 3, 4, 1, 1, 0)),
    ("c3d:1,4,5,6,3,4,3,2,1", "conv3d_ndhwc", (1, 4, 5, 6, 3, 4, 3, 2, 1)),
    ("gmm:2,5,7,9", "batch_matmul_nkkm", (2, 5, 7, 9)),
    ("grp:1,6,6,8,12,3,2,1", "conv2d_nhwc", (1, 6, 6, 8, 12, 3, 2, 1, 1, 4)),
    ("dil:1,9,9,4,4,3,2,2", "conv2d_nhwc", (1, 9, 9, 4, 4, 3, 2, 2, 2)),
    ("dep:1,7,6,5,3,2,1", "depthwise_conv2d_nhwc", (1, 7, 6, 5, 3, 2, 1)),
    ("t2d:1,4,3,8,4,4,2,1", "conv2d_transpose_nhwc", (1, 4, 3, 8, 4, 4, 2, 1)),
    ("t2d:2,4,3,2,4,3,2,1", "conv2d_transpose_nhwc", (2, 4, 3, 2, 4, 3, 2, 1)),
    ("t2d:1,3,4,2,3,3,3,0", "conv2d_transpose_nhwc", (1, 3, 4, 2, 3, 3, 3, 0)),
    ("t2d:1,4,4,2,3,5,3,1", "conv2d_transpose_nhwc", (1, 4, 4, 2, 3, 5, 3, 1)),
    ("t2d:1,4,4,2,3,3,1,1", "conv2d_transpose_nhwc", (1, 4, 4, 2, 3, 3, 1, 1)),
    ("cap:1,5,4,2,3,3,2,1", "conv2d_capsule_nhwijc", (1, 5, 4, 2, 3, 3, 2, 1)),
    ("nrm:2,5,7", "norm_bmn", (2, 5, 7)),
    ("sfm:5,7", "softmax_mn", (5, 7)),
    ("cbr:1,6,7,3,4,3,2,1", "conv2d_nhwc_bn_relu", (1, 6, 7, 3, 4, 3, 2, 1)),
    ("tbg:2,5,3,4", "transpose_batch_matmul", (2, 5, 3, 4)),
]


def run(func, inputs):
    """Compile a PrimFunc without any schedule and return its last parameter."""
    kernel = tvm.compile(func.with_attr("global_symbol", "main"), target="llvm")
    output = func.params[-1]
    arrays = [tvm.runtime.tensor(a) for a in inputs]
    result = tvm.runtime.tensor(np.full([int(e) for e in output.shape], 99, str(output.dtype)))
    kernel(*arrays, result)
    return result.numpy()


@pytest.mark.parametrize(("spec", "name", "arguments"), CASES, ids=[c[0] for c in CASES])
def test_same_result_as_the_peer(spec, name, arguments):
    ours = named_workload(spec).func
    theirs = te.create_prim_func(list(getattr(te_workload, name)(*arguments)))
    random = np.random.default_rng(0)
    inputs = [random.standard_normal([int(e) for e in p.shape]).astype("float32") for p in ours.params[:-1]]
    shaped = [a.reshape([int(e) for e in p.shape]) for a, p in zip(inputs, theirs.params, strict=False)]
    np.testing.assert_allclose(run(ours, inputs), run(theirs, shaped), rtol=1e-4, atol=1e-5)


def test_int8_multiplies_unsigned_by_signed():
    workload = named_workload("gmm:1,3,4,5,dtype=int8")
    assert [a.dtype for a in workload.args] == ["uint8", "int8", "int32"]
    random = np.random.default_rng(0)
    left = random.integers(0, 256, (1, 3, 5), dtype=np.uint8)
    right = random.integers(-128, 128, (1, 5, 4), dtype=np.int8)
    expected = left.astype(np.int32) @ right.astype(np.int32)
    np.testing.assert_array_equal(run(workload.func, [left, right]), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_accumulates_in_single(dtype):
    assert [a.dtype for a in named_workload(f"c2d:1,4,4,2,2,3,1,1,dtype={dtype}").args] == [
        dtype,
        dtype,
        "float32",
    ]


def test_layer_normalisation():
    random = np.random.default_rng(0)
    data, scale, shift = (random.standard_normal(s).astype("float32") for s in ((4, 9), 9, 9))
    mean, variance = data.mean(1, keepdims=True), data.var(1, keepdims=True)
    expected = (data - mean) / np.sqrt(variance + 1e-5) * scale + shift
    got = run(named_workload("layernorm:4,9").func, [data, scale, shift])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_transposed_convolution_skips_the_zeros():
    # 4 x 4 taps, of which a stride of 2 leaves 2 x 2.
    assert named_workload("t2d:1,4,4,8,4,4,2,1").flops == 2 * 8 * 8 * 4 * 8 * 2 * 2


def test_names_are_canonical():
    assert named_workload("c2d:1,7,6,4,8,3,2,1,1,1").name == "c2d:1,7,6,4,8,3,2,1"
    assert named_workload("grp:1,6,6,8,8,3,1,1").key == named_workload("c2d:1,6,6,8,8,3,1,1,1,4").key
    assert named_workload("gmm:1,4,4,4,dtype=float64").name == "gmm:1,4,4,4,dtype=float64"
