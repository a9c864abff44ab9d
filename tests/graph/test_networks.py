"""The benchmark's networks import and fall into the tasks that a good cut gives."""

import pytest

from scripts.bench.definitions import NETWORKS, bert, dcgan, mobilenet_v2, resnet, resnet3d, vit
from tuner.extract import tasks_of
from tuner.frontends.onnx_file import from_onnx

pytestmark = pytest.mark.tvm

# Small images and few layers: the tasks are the same kinds. Name to model, kinds of tasks, calls in all.
SMALL = {
    "resnet18": (lambda: resnet(18, size=32), {"conv2d", "max", "mean", "matmul", "transpose"}, 24),
    "resnet50": (lambda: resnet(50, size=32), {"conv2d", "max", "mean", "matmul", "transpose"}, 57),
    "mobilenet_v2": (
        lambda: mobilenet_v2(size=32),
        {"conv2d", "depthwise", "mean", "matmul", "transpose"},
        55,
    ),
    "resnet3d18": (lambda: resnet3d(frames=8, size=16), {"conv3d", "mean", "matmul", "transpose"}, 23),
    "dcgan": (dcgan, {"conv2d", "transpose"}, 6),
    "bert": (
        lambda: bert(length=8, layers=2, channels=16, heads=2, vocabulary=9),
        {"matmul", "layer", "softmax", "take", "add", "less"},
        26,
    ),
    "vit": (
        lambda: vit(size=32, layers=2, channels=16, heads=2, classes=5),
        {"conv2d", "matmul", "layer", "softmax", "take", "transpose", "reshape"},
        28,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_fall_into_few_kinds_of_tasks(name):
    build, kinds, calls = SMALL[name]
    tasks = tasks_of(from_onnx(build(), name=name))
    assert {task.name.split("_")[0].split(":")[0] for task in tasks} <= kinds
    assert sum(task.weight for task in tasks) == calls
    moving = [t for t in tasks if t.name.startswith("transpose")]
    assert sum(task.weight for task in moving) <= 1


def test_the_seed_fixes_the_weights():
    assert dcgan().SerializeToString() == dcgan().SerializeToString()
    assert dcgan(seed=1).SerializeToString() != dcgan().SerializeToString()
