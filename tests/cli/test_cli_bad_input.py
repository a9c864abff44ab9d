"""Every mistake gets one line that says what, where, the value and the remedy, and exit code 2."""

import os
import stat

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tuner.errors import UserError
from tuner.options import TuneOptions
from tuner.workloads import OPERATORS

pytestmark = pytest.mark.tvm


def write_model(path, node, shape=(1, 4), domain=""):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y])
    imports = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def test_unknown_operator_lists_the_known(refused):
    line = refused("tune", "foo:1,2,3", "--trials", 4)
    assert "foo" in line
    assert all(name in line for name in OPERATORS)


def test_unknown_kind_of_workload_says_what_may_be_given(refused):
    line = refused("tune", "nothing")
    assert "nothing" in line and "gmm" in line and ".onnx" in line and "file.py:function" in line


def test_wrong_argument_count_names_the_arguments(refused):
    line = refused("tune", "gmm:1,2")
    assert "gmm:1,2" in line and "2 arguments" in line and "4" in line


@pytest.mark.parametrize("value", ["0", "-3"])
def test_non_positive_extent_names_the_argument(refused, value):
    line = refused("tune", f"c2d:1,14,14,{value},256,3,1,1")
    assert "in_channels" in line and value in line


def test_an_option_given_twice(refused):
    assert "more than once" in refused("tune", "gmm:1,8,8,8,dtype=int8,dtype=float32")


@pytest.mark.parametrize("rows", [400_000, 99_999_999])
def test_operands_beyond_all_memory_are_refused(refused, rows):
    line = refused("tune", f"gmm:1,{rows},{rows},{rows}")
    assert f"gmm:1,{rows}" in line and "of memory, this machine has" in line


def test_missing_file(refused):
    assert "missing.onnx" in refused("tune", "missing.onnx")


def test_file_that_is_no_model(refused, tmp_path):
    (tmp_path / "text.onnx").write_text("this is not a model\n" * 20)
    assert "text.onnx" in refused("tune", "text.onnx")
    assert "not an ONNX model" in refused("compile", "text.onnx")


def test_empty_file_is_no_model(refused, tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert "not an ONNX model" in refused("plan", "empty.onnx")


@pytest.mark.parametrize("domain", ["", "com.example"])
def test_unsupported_onnx_operator_names_operator_and_node(refused, tmp_path, domain):
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="the_node", domain=domain)
    line = refused("tune", write_model(tmp_path / "m.onnx", node, domain=domain))
    assert "Frobnicate" in line and "the_node" in line and "m.onnx" in line


def test_dynamic_shape_names_the_input_and_the_option(refused, tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    path = write_model(tmp_path / "m.onnx", node, shape=("batch", 3, 8, 8))
    line = refused("tune", path)
    assert "'x'" in line and "--input-shape x=1,3,224,224" in line


def test_dynamic_shape_can_be_fixed(tirtune, tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    path = write_model(tmp_path / "m.onnx", node, shape=("batch", 4))
    done = tirtune("plan", path, "--input-shape", "x=2,4", "--json")
    assert done.code == 0, done
    assert "2x4" in done.json["tasks"][0]["workload"]


def test_shape_for_an_unknown_input_lists_the_inputs(refused, tmp_path):
    path = write_model(tmp_path / "m.onnx", helper.make_node("Relu", ["x"], ["y"]))
    line = refused("tune", path, "--input-shape", "image=1,4")
    assert "image" in line and " x" in line


def test_shape_for_what_has_fixed_shapes(refused):
    line = refused("tune", "gmm:1,8,8,8", "--input-shape", "left=1,8,8")
    assert "--input-shape left" in line and "ONNX" in line


def test_shapes_of_several_models_are_told_apart_by_input(tirtune, tmp_path):
    first = write_model(tmp_path / "a.onnx", helper.make_node("Relu", ["x"], ["y"]), shape=("batch", 4))
    done = tirtune("plan", first, "gmm:1,8,8,8", "--input-shape", "x=2,4", "--json")
    assert done.code == 0, done
    assert len(done.json["tasks"]) == 2


@pytest.mark.parametrize("text", ["x", "x=", "x=1,a", "x=0,3", "=1,2"])
def test_malformed_shape(refused, text):
    line = refused("tune", "gmm:1,8,8,8", "--input-shape", text)
    assert "--input-shape" in line and text in line


def test_shape_given_twice(refused):
    line = refused("tune", "gmm:1,8,8,8", "--input-shape", "x=1,2", "--input-shape", "x=1,3")
    assert "'x'" in line and "two shapes" in line


@pytest.mark.parametrize(
    "target", ["abacus", "llvm -mcpu", "{not json", "llvm -frob=1", "llvm -mcpu=znver44"]
)
@pytest.mark.parametrize("command", ["tune", "compile", "plan"])
def test_unknown_target(refused, command, target):
    assert target in refused(command, "gmm:1,8,8,8", "--target", target)


def test_target_that_cannot_be_tuned(refused):
    assert "known are llvm, cuda" in refused("tune", "gmm:1,8,8,8", "--target", "opencl")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--trials", "0"),
        ("--trials", "-5"),
        ("--threads", "0"),
        ("--threads", "100000"),
        ("--batch", "0"),
        ("--seed", "-1"),
        ("--seed", "9223372036854775808"),
    ],
)
def test_numbers_that_must_be_positive(refused, option, value):
    line = refused("tune", "gmm:1,8,8,8", option, value)
    assert option in line and value in line


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_no_log_could_hold_are_refused_from_python_too(seed):
    with pytest.raises(UserError, match=f"--seed must be between 0 and .*, got {seed}"):
        TuneOptions(seed=seed)


@pytest.mark.parametrize("text", ["0", "0s", "ten", "5x", "", "-3s", "1m2"])
def test_malformed_time(refused, text):
    line = refused("tune", "gmm:1,8,8,8", "--time", text)
    assert "--time" in line


def test_unknown_objective_and_strategy(refused):
    assert "geomean" in refused("tune", "gmm:1,8,8,8", "--objective", "beauty")
    assert "requirement:20ms" in refused("tune", "gmm:1,8,8,8", "--objective", "requirement:soon")
    assert "random" in refused("tune", "gmm:1,8,8,8", "--strategy", "luck")


def test_unknown_measurer(refused):
    assert "moon" in refused("tune", "gmm:1,8,8,8", "--measure", "moon")


def test_log_that_cannot_be_written(refused, tmp_path):
    line = refused("tune", "gmm:1,8,8,8", "--trials", 4, "--log", tmp_path / "no" / "such" / "run.jsonl")
    assert "run.jsonl" in line
    (tmp_path / "folder").mkdir()
    assert "folder" in refused("tune", "gmm:1,8,8,8", "--trials", 4, "--log", tmp_path / "folder")


def test_file_that_is_no_log_is_refused_and_left_untouched(refused, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\nnothing happened\n")
    for words in (
        ("tune", "gmm:1,8,8,8", "--log", path),
        ("compile", "gmm:1,8,8,8", "--records", path),
        ("records", "stats", path),
        ("records", "merge", path, "-o", tmp_path / "out.jsonl"),
        ("report", path, "-o", tmp_path / "r.html"),
        ("explain", path),
    ):
        assert "notes.txt is not a tuning log" in refused(*words)
    assert path.read_text() == "dear diary\nnothing happened\n"


def test_newer_log_is_refused_and_left_untouched(refused, tmp_path):
    path = tmp_path / "new.jsonl"
    text = '{"type":"header","schema":99,"session":"s","time_unix":1.0,"tool":"9"}\n'
    path.write_text(text)
    assert "newer" in refused("tune", "gmm:1,8,8,8", "--log", path)
    assert "newer" in refused("records", "best", path)
    assert path.read_text() == text


def test_missing_log(refused, tmp_path):
    assert "gone.jsonl" in refused("compile", "gmm:1,8,8,8", "-r", tmp_path / "gone.jsonl")
    assert "gone.jsonl" in refused("records", "best", tmp_path / "gone.jsonl")
    assert not (tmp_path / "gone.jsonl").exists()


def test_python_file(refused, tmp_path):
    functions = "def good(): return 3\ndef bad(): raise OSError('no luck')\ndef ends(): raise SystemExit(3)\n"
    (tmp_path / "f.py").write_text(functions)
    assert "SystemExit" in refused("tune", "f.py:ends")
    assert "int" in refused("tune", "f.py:good")
    assert "no luck" in refused("tune", "f.py:bad")
    assert "good" in refused("tune", "f.py:other")
    assert "f.py:FUNCTION" in refused("tune", "f.py")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    assert "SyntaxError" in refused("tune", "syntax.py:f")


def test_compiled_model(refused, tmp_path):
    (tmp_path / "fake.so").write_bytes(b"\x7fELF" + bytes(500))
    assert "fake.so" in refused("run", "fake.so", "--benchmark")
    assert "missing.so" in refused("run", "missing.so", "--benchmark")
    assert "--inputs" in refused("run", "fake.so")
    assert "--output needs --inputs" in refused("run", "fake.so", "--benchmark", "-o", "x.npz")


def test_output_folder_that_is_missing(refused, tmp_path):
    line = refused("compile", "gmm:1,8,8,8", "--no-predict", "-o", tmp_path / "no" / "m.so")
    assert "m.so" in line and "does not exist" in line


@pytest.mark.parametrize("place", ["", ".", "folder"])
def test_output_that_has_no_name(refused, tmp_path, place):
    (tmp_path / "folder").mkdir()
    assert "name a file such as model.so" in refused("compile", "gmm:1,8,8,8", "-o", place)


def test_output_that_cannot_be_written(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe.so")
    assert "no plain file" in refused("compile", "gmm:1,8,8,8", "-o", "pipe.so")
    assert stat.S_ISFIFO((tmp_path / "pipe.so").stat().st_mode)
    assert "may be written" in refused("compile", "gmm:1,8,8,8", "-o", "/proc/m.so")


def test_output_that_is_an_input_is_refused_before_anything_is_compiled(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.api.compile", lambda *_, **__: pytest.fail("compiled"))
    path = write_model(tmp_path / "m.onnx", helper.make_node("Relu", ["x"], ["y"]))
    before = path.read_bytes()
    assert "name another file" in refused("compile", "m.onnx", "-o", tmp_path / "m.onnx")
    assert "name another file" in refused("compile", "m.onnx", "-r", "a.jsonl", "-o", "./a.jsonl")
    assert "does not exist" in refused("compile", "m.onnx", "-o", "no/such/m.so")
    assert path.read_bytes() == before


LONG = "x" * 300
"""No file system has such names."""


@pytest.mark.parametrize(
    "words",
    [
        ["tune", LONG],
        ["plan", f"{LONG}.onnx"],
        ["compile", "gmm:1,8,8,8", "-r", f"{LONG}.jsonl"],
        ["compile", "gmm:1,8,8,8", "-o", f"{LONG}/m.so"],
        ["run", f"{LONG}.so", "--benchmark"],
        ["records", "best", f"{LONG}.db"],
        ["records", "import", LONG, "-o", "new.jsonl"],
    ],
)
def test_names_that_are_too_long(refused, words):
    line = refused(*words)
    assert LONG in line and "internal" not in line


def test_unknown_commands_and_options(refused):
    assert "tune, compile" in refused("tuna")
    assert "best, show" in refused("records", "worst")
    assert "--trails" in refused("tune", "gmm:1,8,8,8", "--trails", 3)
    assert "WORKLOAD" in refused("tune")


def test_error_with_json_is_an_object(tirtune):
    done = tirtune("tune", "foo:1", "--json")
    assert done.code == 2
    assert "foo" in done.json["error"] and done.json["exit_code"] == 2


def test_debug_shows_the_traceback(tirtune):
    done = tirtune("tune", "foo:1", "--debug")
    assert done.code == 2 and "Traceback" in done.err


def test_unexpected_error_is_one_line_too(tirtune, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("tuner.api.tasks_of_all", broken)
    done = tirtune("plan", "gmm:1,8,8,8")
    assert done.code == 1
    assert done.err.splitlines() == [
        "tirtune: internal error: RuntimeError: first line; run again with --debug to see where"
    ]


def test_mistakes_in_the_last_workload_are_found_before_the_first_is_compared(refused, monkeypatch):
    monkeypatch.setattr("tuner.bench.operators.bench_operator", lambda *_: pytest.fail("compared"))
    assert "'missing.onnx': no such file" in refused("bench", "gmm:1,8,8,8", "missing.onnx")
    assert "foo" in refused("bench", "gmm:1,8,8,8", "foo:1")


@pytest.mark.parametrize(("option", "value"), [("--top", 2), ("--threads", 2), ("--output", "new.jsonl")])
def test_what_only_a_replay_reads_needs_one(refused, option, value):
    assert f"{option} {value} needs --revalidate" in refused("records", "verify", "run.jsonl", option, value)


def test_inputs_that_do_not_fit(tirtune, refused, tmp_path):
    assert tirtune("compile", "gmm:1,8,8,8", "--no-predict", "-o", "m.so").code == 0
    np.savez("wrong.npz", a=np.zeros(3))
    assert "left" in refused("run", "m.so", "--inputs", "wrong.npz")
    (tmp_path / "text.npz").write_text("hello")
    assert "text.npz" in refused("run", "m.so", "--inputs", "text.npz")
    np.savez("shape.npz", left=np.zeros((1, 8, 9), "float32"), right=np.zeros((1, 8, 8), "float32"))
    assert "left" in refused("run", "m.so", "--inputs", "shape.npz")
