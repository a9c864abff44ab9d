"""CUDA source to machine code, for measuring and for shipping alike."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from tuner.measure.cuda import nvcc, nvrtc
from tuner.measure.cuda.toolkit import find_toolkit

OPTIONS = ("--use_fast_math", "--ptxas-options=-v")
"""As TVM 0.27 compiles its kernels: approximate division and transcendental functions, no denormals."""

_REMEMBERED = 256

_compiled: OrderedDict[str, tuple[bytes, str]] = OrderedDict()


def compile_cuda(source: str, arch: str) -> tuple[bytes, str]:
    """Compile CUDA source with whatever compiler this machine has; the last results are remembered.

    Args:
        source: CUDA C++ as TVM generates it.
        arch: The architecture, such as ``sm_90``.

    Returns:
        The cubin, and the report of compiler and assembler.

    Raises:
        CompileError: If the compiler refuses the source.
        JobFailed: If there is no compiler.
    """
    key = hashlib.blake2b(f"{arch}\0{source}".encode(), digest_size=16).hexdigest()
    if key not in _compiled:
        toolkit = find_toolkit()
        if toolkit.nvrtc is not None:
            found = nvrtc.compile_source(toolkit.nvrtc, source, arch, toolkit.includes, OPTIONS)
        else:
            assert toolkit.nvcc is not None
            found = nvcc.compile_source(toolkit.nvcc, source, arch, OPTIONS)
        _compiled[key] = found
        while len(_compiled) > _REMEMBERED:
            _compiled.popitem(last=False)
    _compiled.move_to_end(key)
    return _compiled[key]
