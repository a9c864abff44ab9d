"""What measuring on a GPU must do: on an emulated one everywhere, on a real one where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from device_plans import ENTRY, TARGET, device_task
from onnx import TensorProto, helper, numpy_helper

import tuner
from search_space.hardware import device_name, resolve_target
from tests.assets.models.half import half_cnn
from tuner.errors import JobFailed
from tuner.measure.base import MeasureResult
from tuner.measure.buffers import INPUT_SETS
from tuner.measure.cuda.measurer import DeviceMeasurer
from tuner.measure.options import MeasureOptions

TASK = device_task()
DEFAULT, TILED = {"kind": "default"}, {"kind": "tiled"}
OPTIONS = MeasureOptions(
    entry=ENTRY,
    canary_seconds=0.0,
    settle_seconds=0.0,
    build_timeout_seconds=60.0,
    least_timeout_seconds=15.0,
    run_timeout_seconds=15.0,
    workers=2,
)


@pytest.fixture(scope="module")
def measurer() -> Iterator[DeviceMeasurer]:
    with DeviceMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        yield measurer


def one(measurer: DeviceMeasurer, **plan: object) -> MeasureResult:
    return measurer.measure(TASK.key, [plan])[0]


def test_opening_times_the_untuned_program_on_the_device(measurer: DeviceMeasurer) -> None:
    baseline = measurer.open(TASK)
    assert baseline.timing is not None and baseline.seconds > 0
    assert baseline.checks == INPUT_SETS
    assert baseline.reference == "reordered", "a small reference is computed on the CPU"


@pytest.mark.parametrize(
    "plan", [{}, {"scope": "shared.dyn"}, {"each": 4}, {"tile": 8, "depth": 16}], ids=lambda plan: str(plan)
)
def test_kernels_with_shared_memory_give_the_right_result(
    measurer: DeviceMeasurer, plan: dict[str, object]
) -> None:
    result = one(measurer, kind="tiled", **plan)
    assert result.failure is None and result.verdict is not None and result.verdict.ok
    assert result.verdict.checks == (*INPUT_SETS, "inputs", "guards")
    assert result.facts["shared_bytes"] >= 0 and result.facts["registers"] > 0
    assert {"generate", "lower", "cuda", "load", "first_run", "timing", "check"} <= set(result.stages)


def test_threads_of_a_warp_share_a_sum(measurer: DeviceMeasurer) -> None:
    result = one(measurer, kind="shuffled")
    assert result.failure is None and result.verdict is not None and result.verdict.ok


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("wrong", "elements are wrong"),
        ("unwritten", "not written"),
        ("near_write", "outside of buffer C"),
        ("input_write", "changed input A"),
    ],
)
def test_wrong_results_are_found_and_harm_nobody_else(
    measurer: DeviceMeasurer, kind: str, words: str
) -> None:
    bad, good = measurer.measure(TASK.key, [{"kind": kind}, TILED])
    assert bad.failure is not None and bad.failure.stage == "wrong_result"
    assert words in bad.failure.message
    assert good.failure is None and good.verdict is not None and good.verdict.ok


@pytest.mark.parametrize(
    ("kind", "words"),
    [("crowded", "threads a block"), ("greedy", "shared memory a block"), ("unbound", "bound")],
)
def test_what_the_device_could_not_launch_is_not_sent_there(
    measurer: DeviceMeasurer, kind: str, words: str
) -> None:
    result = one(measurer, kind=kind)
    assert result.failure is not None and result.failure.stage == "build"
    assert words in result.failure.message


def test_an_illegal_address_costs_its_process_and_no_other_candidate(measurer: DeviceMeasurer) -> None:
    before = measurer.device.replacements
    bad, good = measurer.measure(TASK.key, [{"kind": "illegal"}, TILED])
    assert bad.failure is not None and bad.failure.stage in ("run", "crash")
    assert "illegal" in bad.failure.message.lower()
    assert good.failure is None and good.verdict is not None and good.verdict.ok
    assert measurer.device.replacements == before + 1


def test_a_kernel_that_does_not_end_is_stopped() -> None:
    with DeviceMeasurer(replace(OPTIONS, least_timeout_seconds=3.0, run_timeout_seconds=3.0)) as impatient:
        impatient.open(TASK)
        bad = one(impatient, kind="endless")
        assert bad.failure is not None and bad.failure.stage == "timeout"
        assert impatient.device.replacements == 1
        assert one(impatient, **DEFAULT).failure is None


def test_compare_runs_both_in_one_process(measurer: DeviceMeasurer) -> None:
    found = measurer.compare(TASK.key, TILED, {"kind": "tiled", "tile": 8})
    assert found.failure is None and found.ratio is not None and found.ratio > 0
    assert found.first is not None and found.second is not None
    assert len(found.first.runs_seconds) == len(found.second.runs_seconds)


def test_compare_with_a_candidate_that_breaks_the_device_is_a_failure(measurer: DeviceMeasurer) -> None:
    found = measurer.compare(TASK.key, TILED, {"kind": "illegal"})
    assert found.failure is not None and found.ratio is None
    assert one(measurer, **TILED).failure is None, "the device answers again"


def test_a_task_may_get_its_reference_from_the_device() -> None:
    options = replace(OPTIONS, reference_budget_seconds=0.0)
    with DeviceMeasurer(options) as measurer:
        baseline = measurer.open(TASK)
        assert baseline.reference == "device" and baseline.checks[0] == "random"
        result = one(measurer, **TILED)
        assert result.failure is None and result.verdict is not None and result.verdict.ok


def test_caches_may_be_flushed_before_every_call() -> None:
    race = replace(OPTIONS.race, cache="flushed", most_repeats=5)
    task = device_task(64, f"{TARGET} -l2_cache_size_bytes=65536")
    with DeviceMeasurer(replace(OPTIONS, race=race)) as measurer:
        measurer.open(task)
        result = measurer.measure(task.key, [TILED])[0]
        assert result.timing is not None and result.cache == "flushed"


def test_several_tasks_take_turns(measurer: DeviceMeasurer) -> None:
    other = device_task(32)
    measurer.open(other)
    assert measurer.measure(other.key, [DEFAULT])[0].failure is None
    assert one(measurer, **DEFAULT).failure is None


def test_a_compiled_model_runs_on_the_device_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((16, 24), (24, 8))]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "w1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (4, 8))],
        [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(weights)],
    )
    path = tmp_path / "layers.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    x = rng.standard_normal((4, 16)).astype(np.float32)
    wanted = np.maximum(x @ weights[0], 0) @ weights[1]
    # Copies to shared memory are not asynchronous on sm_75: the emulator has no inline PTX.
    is_emulated = device_name(resolve_target("cuda")) == "Emulated GPU"
    target = "cuda -arch=sm_75" if is_emulated else "cuda"
    model = tuner.compile(path, target)
    assert {entry.source for entry in model.coverage} == {"predicted"}
    np.testing.assert_allclose(model.run(x)[0], wanted, rtol=1e-4, atol=1e-4)
    assert model.benchmark(2).median > 0
    loaded = tuner.load(model.save(tmp_path / "layers.so"))
    np.testing.assert_allclose(loaded.run(x)[0], wanted, rtol=1e-4, atol=1e-4)
    untuned = tuner.compile(path, target, predict=False)
    assert {entry.source for entry in untuned.coverage} == {"default"}
    np.testing.assert_allclose(untuned.run(x)[0], wanted, rtol=1e-4, atol=1e-4)


def test_a_half_model_computes_what_the_cpu_computes(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    onnx.save(half_cnn(8), path)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 16, 8, 8)).astype(np.float16)
    wanted = tuner.compile(path).run(x)[0]
    is_emulated = device_name(resolve_target("cuda")) == "Emulated GPU"
    model = tuner.compile(path, "cuda -arch=sm_75" if is_emulated else "cuda")
    found = model.run(x)[0]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=1e-3)


def test_a_compiler_that_is_missing_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from tuner.measure.cuda import toolkit

    monkeypatch.setattr(toolkit, "_roots", lambda: iter(()))
    monkeypatch.setenv("PATH", "/nonexistent")
    toolkit.find_toolkit.cache_clear()
    try:
        with DeviceMeasurer(OPTIONS) as measurer, pytest.raises(JobFailed, match=r"tirtune\[cuda\]"):
            measurer.open(TASK)
    finally:
        toolkit.find_toolkit.cache_clear()
