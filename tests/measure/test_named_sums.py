"""Sums that a body names are computed once: TVM's simplifier must not write them out in every use."""

import numpy as np
import pytest

from search_space.tvm_api import IRModule, parse_script, tirx, tvm, walk_types
from tuner.measure.build import build_timed
from tuner.measure.lowering import cpu_pipeline

pytestmark = pytest.mark.tvm

TARGET = {"kind": "llvm"}
BODY = """
@T.prim_func(s_tir=True)
def main(x: T.Buffer((8,), "float32"), y: T.Buffer((8, 3), "float32")):
    for i in range(8):
        with T.sblock("sums"):
            v = T.axis.spatial(8, i)
            one: T.let[T.float32] = x[v]
            sum: T.let[T.float32] = one * T.float32(3) + one
            at: T.let[T.int32] = v + 0
            y[at, 0] = sum * T.float32(2)
            y[at, 1] = sum * T.float32(5)
            y[at, 2] = sum - one
"""


def module() -> IRModule:
    return IRModule({"main": parse_script(BODY).with_attr("global_symbol", "main")})


def test_a_named_sum_stays_named_and_is_what_it_was() -> None:
    target = tvm.target.Target(TARGET)
    passes, _, _ = cpu_pipeline()
    bound = tvm.tirx.transform.BindTarget(target.with_host(target))(module())
    sums: list[object] = []
    calls: list[str] = []
    for func in passes(bound).functions.values():
        walk_types(
            func.body,
            [
                (tirx.Add, lambda node: sums.append(node) if "float" in str(node.ty) else None),
                (tvm.ir.Call, lambda node: calls.append(str(node.args))),
            ],
        )
    assert len(sums) == 1, "the sum has three uses and is written once"
    assert not any("tirtune.held" in call for call in calls)


def test_what_is_computed_does_not_change() -> None:
    built = build_timed(module(), tvm.target.Target(TARGET))
    x = np.arange(8, dtype=np.float32)
    y = tvm.runtime.tensor(np.zeros((8, 3), np.float32))
    built.function(tvm.runtime.tensor(x), y)
    assert np.array_equal(y.numpy(), np.stack([8 * x, 20 * x, 3 * x], axis=1))
