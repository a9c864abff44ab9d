"""The benchmark of whole networks: its arithmetic, PyTorch's module, and the turns of the sides."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from scripts.bench.definitions import bert, dcgan, tiny, vit
from scripts.bench.interleave import Entry
from scripts.bench.networks import definition
from scripts.bench.whole.commands import log_until
from scripts.bench.whole.contest import contest
from scripts.bench.whole.report import draw, ratios, summary, table
from scripts.bench.whole.worker import error_of

pytestmark = pytest.mark.tvm

SMALL = {
    "tiny": tiny,
    "dcgan": dcgan,
    "bert": lambda: bert(length=8, layers=2, channels=16, heads=2, vocabulary=9),
    "vit": lambda: vit(size=32, layers=2, channels=16, heads=2, classes=5),
}


def result(**seconds):
    values = {
        "network": "n",
        "seconds": seconds,
        "reasons": {"torch": "absent"},
        "errors": {"tirtune": 1e-6},
        "compiling": {},
        "curve": [{"minutes": 0.0, "seconds": 2.0}, {"minutes": 1.0, "seconds": 1.0}],
    }
    return values | {"ratios": ratios(values)}


def test_ratios_are_against_the_fastest_peer(tmp_path):
    fast = result(tirtune=1.0, predicted=2.0, onnxruntime=3.0, openvino=2.0, metaschedule=None)
    slow = result(tirtune=2.0, openvino=1.0)
    assert fast["ratios"]["fastest_peer"] == 2.0
    assert fast["ratios"]["predicted_of_tuned"] == 0.5
    found = summary([fast, slow])
    assert found["fastest_peer"] == {"geometric_mean": pytest.approx(1.0), "least": 0.5}
    assert found["metaschedule"]["geometric_mean"] is None
    assert "| n | 1000.00 | 2000.00 |" in table([fast, slow])
    draw([fast], tmp_path / "p.svg")
    assert (tmp_path / "p.svg").stat().st_size > 1000


def test_nothing_that_ran_is_a_result_too():
    nothing = result()
    assert set(summary([nothing])["fastest_peer"].values()) == {None}
    assert "torch: absent" in table([nothing])


def test_a_log_is_cut_at_a_time(tmp_path):
    lines = [{"type": "program"}, {"time_unix": 1.0}, {"time_unix": 3.0}]
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    log_until(tmp_path / "log", tmp_path / "cut", 2.0)
    assert [json.loads(line) for line in (tmp_path / "cut").read_text().splitlines()] == lines[:2]


@pytest.mark.parametrize("name", SMALL)
def test_the_module_for_pytorch_computes_the_graph(name, tmp_path):
    pytest.importorskip("torch")
    from scripts.bench.whole.torch_side import load

    path = tmp_path / "model.onnx"
    onnx.save(SMALL[name](), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feeds = {
        value.name: random.integers(0, 9, value.shape)
        if "int" in value.type
        else random.standard_normal(value.shape, dtype=np.float32)
        for value in session.get_inputs()
    }
    expected = session.run(None, feeds)[0]
    for variant in load(str(path), feeds, {"threads": 1}):
        assert error_of(variant.output(), expected) < 1e-5, variant.name


def test_sides_take_turns_and_a_failing_one_is_reported(tmp_path):
    path = tmp_path / "tiny.onnx"
    feeds = definition("tiny", path)
    entries = [
        Entry("onnxruntime", "onnxruntime", {}),
        Entry("tirtune", "tirtune", {"library": str(tmp_path / "absent.so")}),
    ]
    outcomes, layers = contest(path, feeds, entries, 1, 2, 0.01, 0.01, profiled=["onnxruntime"])
    assert outcomes["onnxruntime"].seconds > 0 and outcomes["onnxruntime"].error < 1e-5
    assert outcomes["tirtune"].seconds is None and "absent.so" in outcomes["tirtune"].reason
    assert {layer["kind"] for layer in layers["onnxruntime"]["layers"]} >= {"Conv", "Gemm"}
