"""Reference outputs, and how inexact the untuned program itself is."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search_space.workload import BufferSpec
from tuner.measure.buffers import Arguments
from tuner.measure.check import compare, tolerance
from tuner.measure.references import References, moved

pytestmark = pytest.mark.tvm

ROWS, LENGTH = 16, 768


def computed(body: Callable[[Any], Any]) -> tuple[References, Arguments]:
    """References of a program that maps an input of shape [16, 768] to an output of any shape."""
    shape = body(np.zeros((ROWS, LENGTH), np.float32)).shape
    specs = (
        BufferSpec("source", (ROWS, LENGTH), "float32", False),
        BufferSpec("result", shape, "float32", True),
    )
    arguments = Arguments.allocate(specs)
    descriptor = os.memfd_create("references")
    references = References(descriptor, arguments)
    source, result = (buffer.array for buffer in arguments.buffers)

    def call() -> None:
        result[...] = body(source)

    state: Any = SimpleNamespace(arguments=arguments, opened=SimpleNamespace(seed=0, is_positive=False))
    done = references.compute(call, state, 10.0)
    assert done.sets[:2] == ["random", "integers"]
    return references, arguments


def running_sum(values: Any) -> Any:
    return np.cumsum(values, axis=1, dtype=np.float32)[:, -1:]


def norm_by_squares(values: Any) -> Any:
    """Layer normalisation with the variance as the mean of squares less the square of the mean."""
    mean = running_sum(values) / np.float32(LENGTH)
    squares = running_sum(values * values) / np.float32(LENGTH)
    return (values - mean) / np.sqrt(squares - mean * mean + np.float32(1e-5))


def test_a_program_that_cancels_is_noisier_than_a_sum():
    sums, _ = computed(running_sum)
    norms, _ = computed(norm_by_squares)
    assert 0 < sums.noise("random")[1] < 1e-5
    assert norms.noise("integers")[1] > 0
    assert norms.noise("random")[0] == 0.0


def test_a_more_exact_program_is_right_where_the_untuned_one_is_noisy():
    references, arguments = computed(lambda values: norm_by_squares(values + np.float32(8.0)))
    expected = references.expected("random", arguments)
    source = expected[0].view(np.float32).reshape(ROWS, LENGTH)
    untuned = expected[1].view(np.float32).reshape(ROWS, LENGTH)
    wide = source.astype(np.float64) + 8.0
    exact = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    noise = float(references.noise("random")[1])

    def verdict(noise: float) -> str:
        limit = tolerance("float32", LENGTH, noise)
        return compare(exact.astype(np.float32), untuned, "float32", limit, "result", "random").message

    assert verdict(0.0)
    assert not verdict(noise)


def test_noise_never_excuses_what_is_plainly_wrong():
    assert tolerance("float32", 1.0, 1.0) < 0.01
    assert tolerance("int32", 1.0, 1.0) == 0.0


def test_moved_skips_what_is_not_finite():
    old = np.array([1.0, np.inf, np.nan, 3.0])
    new = np.array([1.0, 5.0, 1.0, 3.5])
    assert moved(new, old) == pytest.approx(0.5 / (3.0 + np.sqrt(5.0)))
    assert moved(np.array([np.nan]), np.array([np.nan])) == 0.0
