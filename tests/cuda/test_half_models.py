"""Whole models of float16 for GPUs, on a machine without one."""

import json

import onnx
import pytest

from search_space.candidate import context_of
from search_space.hardware import resolve_target
from tests.assets.models.half import half_cnn
from tests.gpu.programs import wide_products
from tuner.api import tasks_of_all

pytestmark = pytest.mark.tvm


@pytest.fixture
def path(tmp_path):
    onnx.save(half_cnn(), tmp_path / "half.onnx")
    return tmp_path / "half.onnx"


def test_its_convolutions_and_its_linear_layer_are_offered_on_tensor_cores(path):
    target = resolve_target("cuda -arch=sm_80")
    offered = {}
    for task in tasks_of_all([path], None):
        assert {argument.dtype for argument in task.workload.args} == {"float16"}
        offered[task.name] = any(map(wide_products, context_of(task.workload, target).sketches.values()))
    products = [name for name in offered if name.startswith(("conv2d", "matmul"))]
    assert len(products) == 3
    assert all(offered[name] for name in products), offered


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_build_only_builds_all_of_it(tirtune, path, arch):
    target = f"cuda -arch={arch}"
    done = tirtune(
        "tune", path, "--target", target, "--build-only", "--trials", 12, "--strategy", "random", "--json"
    )
    assert done.code == 0, done
    tasks = json.loads(done.out)["tasks"]
    assert len(tasks) == 6
    for task in tasks:
        assert task["untuned_built"] and not task["failed"], task
