"""NVRTC, NVIDIA's compiler as a library: CUDA source to machine code in this process, without a GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_HEADERS = {
    "cuda/std/cstdint": """
#pragma once
namespace cuda { namespace std {
typedef signed char int8_t; typedef unsigned char uint8_t;
typedef short int16_t; typedef unsigned short uint16_t;
typedef int int32_t; typedef unsigned int uint32_t;
typedef long int64_t; typedef unsigned long uint64_t;
} }
""",
    "cuda/std/type_traits": """
#pragma once
namespace cuda { namespace std {
template <bool V> struct bool_constant { static constexpr bool value = V; };
template <class A, class B> constexpr bool is_same_v = false;
template <class A> constexpr bool is_same_v<A, A> = true;
template <class A, class B> struct is_same : bool_constant<is_same_v<A, B>> {};
template <class A> struct is_integral : bool_constant<false> {};
template <class A> struct is_floating_point : bool_constant<false> {};
#define TIRTUNE_IS(TRAIT, TYPE) template <> struct TRAIT<TYPE> : bool_constant<true> {};
TIRTUNE_IS(is_integral, bool) TIRTUNE_IS(is_integral, char)
TIRTUNE_IS(is_integral, signed char) TIRTUNE_IS(is_integral, unsigned char)
TIRTUNE_IS(is_integral, short) TIRTUNE_IS(is_integral, unsigned short)
TIRTUNE_IS(is_integral, int) TIRTUNE_IS(is_integral, unsigned int)
TIRTUNE_IS(is_integral, long) TIRTUNE_IS(is_integral, unsigned long)
TIRTUNE_IS(is_integral, long long) TIRTUNE_IS(is_integral, unsigned long long)
TIRTUNE_IS(is_floating_point, float) TIRTUNE_IS(is_floating_point, double)
#undef TIRTUNE_IS
template <class A> struct is_signed : bool_constant<(A(-1) < A(0))> {};
template <class A> struct is_unsigned : bool_constant<!(A(-1) < A(0))> {};
template <bool C, class A = void> struct enable_if {};
template <class A> struct enable_if<true, A> { typedef A type; };
template <bool C, class A, class B> struct conditional { typedef A type; };
template <class A, class B> struct conditional<false, A, B> { typedef B type; };
} }
""",
}
"""What generated source includes of libcu++. The real headers are parsed anew for every kernel: they made a
matmul's compilation some forty times longer than these lines do (docs/gpu.md, Building)."""

_PREAMBLE = """
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
"""


class CompileError(ValueError):
    """The compiler refused the source."""


def compile_source(
    library: Path, source: str, arch: str, includes: Sequence[Path], options: Sequence[str]
) -> tuple[bytes, str]:
    """Compile CUDA source to a cubin.

    Args:
        library: The shared library.
        source: CUDA C++.
        arch: The architecture, such as ``sm_90``.
        includes: Folders with headers.
        options: Further options of the compiler.

    Returns:
        The machine code, and what compiler and assembler reported.

    Raises:
        CompileError: With the first error.
    """
    nvrtc = _load(library)
    program = ctypes.c_void_p()
    names = (ctypes.c_char_p * len(_HEADERS))(*(name.encode() for name in _HEADERS))
    texts = (ctypes.c_char_p * len(_HEADERS))(*(text.encode() for text in _HEADERS.values()))
    text = (_PREAMBLE + source).encode()
    created = nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernel.cu", len(_HEADERS), texts, names)
    _require(nvrtc, created)
    try:
        words = [f"--gpu-architecture={arch}", "--device-as-default-execution-space", "--device-int128"]
        words += [f"--include-path={folder}" for folder in includes]
        words += options
        arguments = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
        status = nvrtc.nvrtcCompileProgram(program, len(words), arguments)
        log = _read(nvrtc, program, "ProgramLog").decode(errors="replace").rstrip("\0")
        if status != 0:
            raise CompileError(first_error(log) or _reason(nvrtc, status))
        return _read(nvrtc, program, "CUBIN"), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def first_error(log: str) -> str:
    """Return the first line of a compiler's report that is an error, or nothing."""
    lines = [line.strip() for line in log.splitlines() if "error" in line.lower() or "fatal" in line.lower()]
    return lines[0] if lines else ""


def _read(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _require(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    data = ctypes.create_string_buffer(size.value)
    _require(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, data))
    return data.raw


def _require(nvrtc: ctypes.CDLL, status: int) -> None:
    if status != 0:
        raise CompileError(_reason(nvrtc, status))


def _reason(nvrtc: ctypes.CDLL, status: int) -> str:
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    return f"NVRTC: {nvrtc.nvrtcGetErrorString(status).decode()}"


@cache
def _load(library: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(library))
