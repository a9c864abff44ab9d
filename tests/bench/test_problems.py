import numpy as np
import pytest

from scripts.bench.problems import SHAPES, SUITES, problem_of, problems_of
from scripts.bench.reference import error, reference
from search_space.tvm_api import tvm
from tuner.errors import UserError
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

SMALL = [
    "c1d:1,9,4,6,3,2,1",
    "c2d:1,7,6,4,8,3,2,1",
    "c3d:1,4,5,6,3,4,3,2,1",
    "gmm:2,5,7,9",
    "gmm:1,5,7,9,dtype=int8",
    "gmm:1,5,7,9,dtype=bfloat16",
    "grp:1,6,6,8,12,3,2,1",
    "dil:1,9,9,4,4,3,2,2",
    "dep:1,7,6,5,3,2,1",
    "t2d:1,4,3,8,4,4,2,1",
    "cap:1,5,4,2,3,3,2,1",
    "nrm:2,5,7",
    "sfm:5,7",
    "cbr:1,6,7,3,4,3,2,1",
    "tbg:2,5,3,4",
    "layernorm:5,7",
]


def test_every_text_is_a_problem():
    found = problems_of(list(SUITES))
    assert len({p.slug for p in found}) == len(found)
    assert len(problems_of(["first"])) == len(SHAPES) == 13
    assert len(problems_of(["all"])) == 52


def test_values_have_defaults_and_come_in_order():
    problem = problem_of("dil:1,56,48,64,32,3,2,1")
    assert problem.values["dilation"] == 2
    assert (problem.values["height"], problem.values["width"]) == (56, 48)
    assert (problem.values["in_channels"], problem.values["out_channels"]) == (64, 32)
    assert (problem.values["stride"], problem.values["padding"]) == (2, 1)


def test_an_unknown_suite_lists_the_known_ones():
    with pytest.raises(UserError, match=r"unknown suite 'last'.*first"):
        problems_of(["last"])


@pytest.mark.parametrize("text", SMALL)
def test_reference_is_what_the_untuned_program_computes(text):
    problem = problem_of(text)
    arrays = problem.arrays()
    expected = reference(problem, arrays)
    kernel = tvm.compile(named_workload(text).func.with_attr("global_symbol", "main"), target="llvm")
    tensors = []
    for spec in problem.inputs:
        tensors.append(tvm.runtime.empty(spec.shape, spec.dtype))
        tensors[-1].copyfrom(arrays[spec.name])
    output = tvm.runtime.empty(problem.output.shape, problem.output.dtype)
    kernel(*tensors, output)
    assert error(problem, output.numpy(), expected) < 1e-5


def test_error_refuses_what_is_no_number():
    problem = problem_of("sfm:5,7")
    right = reference(problem, problem.arrays())
    assert error(problem, right + np.float32(0.5) * right.max(), right) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no numbers"):
        error(problem, np.full_like(right, np.nan), right)
    with pytest.raises(ValueError, match="expected"):
        error(problem, right[:1], right)
