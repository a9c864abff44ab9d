"""Saved models run in a fresh process that has none of the search in it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from search_space.hardware import resolve_target
from tests.assets.models.small import MODELS
from tuner import artifact, compiled_model
from tuner.compilation import compile_model, untuned
from tuner.compiled_model import load
from tuner.cpu_features import missing_features, required_features
from tuner.errors import UserError
from tuner.frontends.onnx_file import from_onnx

pytestmark = pytest.mark.tvm

FRESH = """
import json, os, sys
import numpy as np
from tuner.compiled_model import load
model = load(sys.argv[1])
output = model.run(np.load(sys.argv[2]))[0]
np.save(sys.argv[3], output)
heavy = ("xgboost", "sklearn", "onnx", "search_space", "cost_models", "records", "tvm.s_tir.meta_schedule")
print(json.dumps({
    "modules": [m for m in heavy if m in sys.modules],
    "threads": os.environ["TVM_NUM_THREADS"],
    "inputs": [t.name for t in model.inputs],
    "coverage": len(model.coverage),
}))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "cnn.so"
    compiled = compile_model(from_onnx(MODELS["residual_cnn"]()), resolve_target(threads=2), untuned)
    compiled.save(path)
    return compiled, path


def test_runs_in_a_fresh_process_without_the_search(saved, tmp_path, repository):
    compiled, path = saved
    image = np.random.default_rng(0).standard_normal(compiled.inputs[0].shape).astype("float32")
    np.save(tmp_path / "in.npy", image)
    command = [sys.executable, "-c", FRESH, path, tmp_path / "in.npy", tmp_path / "out.npy"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=repository).stdout)
    assert [m for m in answer["modules"] if m != "tvm.s_tir.meta_schedule"] == []
    assert answer["threads"] == "2"
    assert answer["inputs"] == ["image"]
    assert answer["coverage"] == len(compiled.coverage)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), compiled.run(image)[0])


def test_description_survives(saved):
    compiled, path = saved
    assert load(path).description == compiled.description


def test_no_temporary_file_is_left(saved):
    _, path = saved
    assert [p.name for p in path.parent.iterdir()] == ["cnn.so"]


def test_another_cpu_is_refused(saved, monkeypatch):
    _, path = saved
    monkeypatch.setattr(compiled_model, "missing_features", lambda features: ["avx512f", "avx512_vnni"])
    with pytest.raises(UserError, match=r"avx512f, avx512_vnni.*compile it for this machine"):
        load(path)


def test_another_machine_type_is_refused(saved, monkeypatch):
    _, path = saved
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UserError, match="riscv64"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"\x7fELF no tail", b"x" * 100])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.so"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a compiled model"):
        load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.so"):
        load(tmp_path / "nothing.so")


def test_a_truncated_file_is_damaged(saved, tmp_path):
    _, path = saved
    data = path.read_bytes()
    cut = tmp_path / "cut.so"
    cut.write_bytes(data[-300:])
    with pytest.raises(UserError, match="damaged"):
        load(cut)


def test_a_folder_that_does_not_exist_is_named(saved, tmp_path):
    compiled, _ = saved
    with pytest.raises(UserError, match="does not exist"):
        compiled.save(tmp_path / "no" / "model.so")


def test_weights_come_back_on_cache_lines(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"library")
    arrays = [np.arange(5, dtype=np.int8), np.ones((2, 3), np.float32), np.zeros((0, 4), np.float64)]
    artifact.append(path, arrays, {"name": "x"})
    description, back = artifact.read(path)
    assert description == {"name": "x"}
    assert path.read_bytes().startswith(b"library")
    for before, after in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype
        assert after.ctypes.data % 64 == 0 or after.size == 0


@pytest.mark.parametrize("count", [-1, 1 << 50])
def test_weights_outside_the_file_are_refused(tmp_path, count):
    payload = json.dumps({"weights": {"start": 0, "bytes": count, "arrays": []}, "description": {}}).encode()
    path = tmp_path / "file"
    path.write_bytes(payload + len(payload).to_bytes(8, "little") + artifact.MAGIC)
    with pytest.raises(UserError, match="weights lie outside the file"):
        artifact.read(path)


def test_features_of_the_target_are_compared_with_the_cpu(tmp_path):
    features = required_features(resolve_target("llvm -mcpu=skylake-avx512"))
    assert {"avx2", "fma", "avx512f"} <= set(features)
    assert "avx512f" not in required_features(resolve_target("llvm -mcpu=haswell"))
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: old\nflags\t\t: fpu sse2 avx2 fma\n")
    assert "avx512f" in missing_features(features, cpuinfo)
    assert missing_features(["avx2", "fma"], cpuinfo) == []
    assert missing_features(["avx2"], tmp_path / "absent") == []


def test_the_host_has_what_its_own_target_needs():
    assert missing_features(required_features(resolve_target())) == []
