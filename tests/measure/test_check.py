"""Which differences are rounding and which are wrong results."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_space.workload import BufferSpec
from tuner.measure.buffers import INPUT_SETS, Arguments, GuardedBuffer, input_values, numpy_dtype
from tuner.measure.check import compare, tolerance

pytestmark = pytest.mark.tvm


def deviation(actual: Any, expected: Any, input_set: str = "random", reduction: float = 512.0) -> str:
    limit = tolerance("float32", reduction)
    found = compare(np.asarray(actual, "f4"), np.asarray(expected, "f4"), "float32", limit, "C", input_set)
    return found.message


def test_another_order_of_summation_is_no_error() -> None:
    generator = np.random.default_rng(0)
    for length in (4, 512, 16384):
        for name in ("random", "extremes"):
            spec = BufferSpec("A", (64, length), "float32", False)
            a, b = (input_values(name, spec, generator, False) for _ in range(2))
            expected = np.zeros(64, "f4")
            for k in range(length):
                expected += a[:, k] * b[:, k]
            other = (a * b).sum(axis=1, dtype="f4")
            exact = (a.astype("f8") * b.astype("f8")).sum(axis=1)
            assert deviation(other, expected, name, length) == ""
            assert deviation(exact, expected, name, length) == ""


def test_a_missing_term_is_an_error() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.uniform(-1, 1, (2, 64, 512)).astype("f4")
    expected = (a * b).sum(axis=1)
    assert "elements are wrong" in deviation((a * b)[:, :-1].sum(axis=1), expected)


def test_the_message_names_the_worst_element() -> None:
    message = deviation([[1.0, 2.0], [3.0, 5.0]], [[1.0, 2.0], [3.0, 4.0]])
    assert "1 of 4 elements are wrong" in message
    assert "(1, 1): 5.0, expected 4.0" in message


@pytest.mark.parametrize(
    ("actual", "expected", "input_set", "is_right"),
    [
        (np.nan, np.nan, "random", True),
        (np.nan, 1.0, "random", False),
        (1.0, np.nan, "random", False),
        (np.inf, np.inf, "random", True),
        (-np.inf, np.inf, "random", False),
        (np.nan, np.inf, "random", False),
        (np.nan, np.inf, "extremes", True),
        (1.0, np.inf, "extremes", False),
        (0.0, 0.0, "zeros", True),
        (-0.0, 0.0, "zeros", True),
        (1e-6, 0.0, "zeros", False),
    ],
)
def test_non_finite_values(actual: float, expected: float, input_set: str, is_right: bool) -> None:
    assert (deviation([actual, 0.0], [expected, 0.0], input_set) == "") is is_right


def test_whole_numbers_must_be_equal() -> None:
    assert deviation([8388607.0], [8388606.0], "integers") != ""
    assert deviation([8388607.0], [8388606.0], "random") == ""
    assert deviation([0.1000001], [0.1], "integers") == ""


def test_tolerance_grows_with_the_reduction_and_shrinks_with_precision() -> None:
    assert tolerance("float32", 1) < tolerance("float32", 4096) < 1e-4
    assert tolerance("float64", 512) < tolerance("float32", 512) < tolerance("float16", 512)
    assert tolerance("int8", 512) == 0.0


def test_integer_outputs_must_be_equal() -> None:
    one, two = np.asarray([1, 2], "i4"), np.asarray([1, 3], "i4")
    assert compare(one, one, "int32", 0.0, "C", "random").message == ""
    assert "1 of 2" in compare(one, two, "int32", 0.0, "C", "random").message
    assert "1 of 2" in compare(one == 1, two == two, "bool", 0.0, "C", "random").message


def test_guards_and_poison() -> None:
    buffer = GuardedBuffer((3, 5), "float32")
    buffer.poison()
    assert np.isnan(buffer.array).all()
    assert buffer.guards_hold()
    buffer.array[...] = 7.0
    assert buffer.guards_hold()
    tensor = buffer.tensor()
    assert tuple(int(i) for i in tensor.shape) == (3, 5)
    assert tensor.numpy().tolist() == np.full((3, 5), 7.0).tolist()
    assert int(buffer.raw.ctypes.data) % 64 == 0
    buffer._after[0] = 0
    assert not buffer.guards_hold()


def test_a_kernel_without_huge_pages_has_large_buffers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999, raising=False)  # unknown, so refused
    buffer = GuardedBuffer(((8 << 20) // 4,), "float32")
    buffer.poison()
    assert buffer.guards_hold()


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this kernel has no huge pages"
)
@pytest.mark.parametrize(("elements", "is_huge"), [((8 << 20) // 4 + 3, True), (1 << 10, False)])
def test_large_buffers_ask_for_huge_pages(elements: int, is_huge: bool) -> None:
    buffer = GuardedBuffer((elements,), "float32")
    middle = int(buffer.raw.ctypes.data) + buffer.bytes // 2
    flags = ""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            first, last = (int(word, 16) for word in words[0].split("-"))
            inside = first <= middle < last
        elif inside and words[0] == "VmFlags:":
            flags = line
    assert ("hg" in flags.split()) == is_huge
    buffer.poison()
    assert buffer.guards_hold()


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float64", "int8", "uint8", "int32", "int64", "bool"]
)
@pytest.mark.parametrize("input_set", INPUT_SETS)
def test_inputs_of_every_type(dtype: str, input_set: str) -> None:
    specs = (BufferSpec("A", (16, 16), dtype, False), BufferSpec("C", (4,), dtype, True))
    one, two = Arguments.allocate(specs), Arguments.allocate(specs)
    for arguments in (one, two):
        arguments.fill(input_set, 3, False)
    values = one.buffers[0].array
    assert values.dtype == numpy_dtype(dtype)
    assert np.array_equal(one.buffers[0].raw, two.buffers[0].raw)
    wide = values.astype("f8")
    assert np.isfinite(wide).all()
    assert (wide == 0).all() == (input_set == "zeros")
    assert one.output_bytes == 4 * numpy_dtype(dtype).itemsize


@pytest.mark.parametrize("input_set", ["random", "extremes"])
def test_bytes_with_a_wrong_sign_or_saturating_sums_are_found_out(input_set: str) -> None:
    generator = np.random.default_rng(2)
    specs = [BufferSpec(name, (32, 64), dtype, False) for name, dtype in (("A", "uint8"), ("B", "int8"))]
    a, b = (input_values(input_set, spec, generator, False) for spec in specs)
    products = a.astype("i4") * b
    expected = products.sum(axis=1)
    signed = (a.view("i1").astype("i4") * b).sum(axis=1)
    saturated = np.clip(products[:, ::2] + products[:, 1::2], -(1 << 15), (1 << 15) - 1).sum(axis=1)
    for wrong in (signed, saturated):
        assert compare(wrong, expected, "int32", tolerance("int32", 64), "C", input_set).message


def test_positive_inputs_have_no_sign_and_no_zero() -> None:
    spec = BufferSpec("A", (1000,), "float32", False)
    for name in INPUT_SETS:
        assert (input_values(name, spec, np.random.default_rng(1), True) > 0).all()


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'float7' cannot be measured"):
        numpy_dtype("float7")
