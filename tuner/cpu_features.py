"""Which instruction sets a compiled file needs and whether this CPU has them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# LLVM's name to the kernel's name in /proc/cpuinfo, for the sets that code generation uses.
_NAMES = {
    "sse3": "pni",
    "ssse3": "ssse3",
    "sse4.1": "sse4_1",
    "sse4.2": "sse4_2",
    "popcnt": "popcnt",
    "movbe": "movbe",
    "lzcnt": "abm",
    "bmi": "bmi1",
    "bmi2": "bmi2",
    "adx": "adx",
    "f16c": "f16c",
    "fma": "fma",
    "avx": "avx",
    "avx2": "avx2",
    "avxvnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512vl": "avx512vl",
    "avx512vnni": "avx512_vnni",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "avx512ifma": "avx512ifma",
    "avx512vbmi": "avx512vbmi",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "gfni": "gfni",
    "vaes": "vaes",
    "vpclmulqdq": "vpclmulqdq",
    "amx-tile": "amx_tile",
    "amx-int8": "amx_int8",
    "amx-bf16": "amx_bf16",
}


def required_features(target: Any) -> list[str]:
    """Return the instruction sets that code for a target may use, as the kernel names them.

    Args:
        target: A resolved TVM target.
    """
    from search_space.tvm_api import tvm

    if target.kind.name != "llvm":
        return []
    names = {str(name) for name in tvm.target.codegen.llvm_get_cpu_features(target)}
    return sorted(_NAMES[name] for name in names & set(_NAMES))


def missing_features(needed: Iterable[str], cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return the instruction sets that this CPU lacks.

    Args:
        needed: Names as :func:`required_features` returns them.
        cpuinfo: The kernel's description of the CPU; nothing is missing where there is none.
    """
    if not cpuinfo.exists() or platform.machine() not in ("x86_64", "AMD64", "i686"):
        return []
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            present = set(line.partition(":")[2].split())
            return sorted(set(needed) - present)
    return []
