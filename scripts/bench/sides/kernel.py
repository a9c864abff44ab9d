"""How both TVM sides call a compiled function: from Python, with every argument bound beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from scripts.bench.problem import Array, Problem, numpy_dtype
from scripts.bench.sides.base import Variant
from search_space.hardware import resolve_target
from search_space.tvm_api import IRModule, te, tvm

ALIGNMENT = 64
"""Bytes that TVM aligns arguments to, and relies on."""


def variant_of(name: str, function: Any, problem: Problem, arrays: Mapping[str, Array]) -> Variant:
    """Bind a function in destination-passing style to its arguments."""
    tensors = [tensor_of(arrays[spec.name], spec.dtype) for spec in problem.inputs]
    output = tensor_of(
        np.zeros(problem.output.shape, numpy_dtype(problem.output.dtype)), problem.output.dtype
    )
    return Variant(name, partial(function, *tensors, output), output.numpy)


def trivial() -> Callable[[], Any]:
    """Return a call of a kernel that does next to nothing."""
    source = te.placeholder((1,), name="source")
    function = te.create_prim_func([source, te.compute((1,), lambda i: source[i] + 1.0, name="result")])
    module = IRModule({"main": function.with_attr("global_symbol", "main")})
    main = tvm.compile(module, resolve_target()).jit()["main"]
    return partial(main, *(tvm.runtime.tensor(np.zeros(1, np.float32)) for _ in range(2)))


def tensor_of(array: Array, dtype: str) -> Any:
    """Copy an array into a TVM tensor over memory of NumPy, which the libraries' inputs lie in too.

    NumPy asks the system for huge pages, TVM's own allocation does not: that is a difference between
    allocators, not between kernels.
    """
    raw = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    tensor = tvm.runtime.from_dlpack(raw[start : start + array.nbytes])._create_view(array.shape, dtype)
    tensor.copyfrom(array)
    return tensor
