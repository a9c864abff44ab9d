"""A model file goes in; tuned, compiled, saved and loaded, it computes what ONNX Runtime computes, faster."""

import numpy as np
import onnx
import onnxruntime
import pytest

import tuner
from scripts.bench.definitions.transformers import vit
from tests.assets.models.small import residual_cnn
from tuner.compiled_model import random_input

pytestmark = pytest.mark.tvm

LEAST_SPEEDUP = 5.0


def vision_transformer(size, channels, heads):
    return vit(size=size, patch=4, layers=1, channels=channels, heads=heads, classes=10)


def check_end_to_end(proto, folder, trials_per_task):
    """Tune, compile from the log, save, load, compare with the reference; return the gain in kernel time."""
    path, log = folder / "model.onnx", folder / "run.jsonl"
    onnx.save(proto, path)
    untuned = tuner.compile(path, predict=False)
    options = tuner.TuneOptions(
        trials=trials_per_task * len(untuned.coverage), batch=trials_per_task, log=log
    )
    result = tuner.tune(path, options=options)
    assert not result.interrupted
    assert all(task.trials > 0 for task in result.tasks)

    compiled = tuner.compile(path, records=log)
    assert {entry.source for entry in compiled.coverage} == {"tuned"}, compiled.coverage
    loaded = tuner.load(compiled.save(folder / "model.so"))

    random = np.random.default_rng(1)
    arrays = [random_input(tensor, random) for tensor in compiled.inputs]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, dict(zip([i.name for i in session.get_inputs()], arrays, strict=True)))
    for model in (compiled, loaded):
        for ours, theirs in zip(model.run(*arrays), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)

    before = sum(task.baseline_seconds * task.weight for task in result.tasks)
    after = sum(task.best_seconds * task.weight for task in result.tasks)
    return before / after


def test_small_cnn(tmp_path):
    assert check_end_to_end(residual_cnn(), tmp_path, trials_per_task=3) >= LEAST_SPEEDUP


def test_small_transformer_block(tmp_path):
    assert check_end_to_end(vision_transformer(16, 32, 2), tmp_path, trials_per_task=3) >= LEAST_SPEEDUP


@pytest.mark.slow
def test_cnn(tmp_path):
    assert check_end_to_end(residual_cnn(64), tmp_path, trials_per_task=16) >= LEAST_SPEEDUP


@pytest.mark.slow
def test_transformer_block(tmp_path):
    assert check_end_to_end(vision_transformer(32, 128, 4), tmp_path, trials_per_task=16) >= LEAST_SPEEDUP
