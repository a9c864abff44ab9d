"""What machine this is: the part of a record that says whose time it is."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import psutil

from records.schema import Environment

_CPUINFO = Path("/proc/cpuinfo")

_ISA_FEATURE = re.compile(
    r"^(mmx|sse\w*|ssse3|pni|avx\w*|fma|f16c|amx\w*|bmi[12]|abm|popcnt|movbe|aes|vaes|pclmulqdq|vpclmulqdq|gfni|adx|sha_ni"
    r"|neon|asimd\w*|fp|fphp|fcma|sve\w*|sme\w*|i8mm|svei8mm|bf16|svebf16|dotprod|atomics|jscvt|fhm|crc32)$"
)
"""Flags that change which instructions a compiler may use; power, virtualisation and bug flags do not."""


def capture_environment(threads: int, llvm: str = "", gpu: str = "") -> Environment:
    """Describe this machine and this installation.

    Args:
        threads: Threads that kernels use.
        llvm: Version of TVM's LLVM, from whoever has TVM loaded.
        gpu: Name of the device that kernels run on, empty for the CPU.

    Returns:
        The environment; equal on equal machines except for the host's name.
    """
    return Environment(
        cpu=cpu_name(),
        isa=isa_digest(isa_features()),
        cores=available_cores(),
        threads=threads,
        tvm=distribution_version("apache-tvm"),
        llvm=llvm,
        host=platform.node()[:512],
        gpu=gpu[:512],
    )


def cpu_name() -> str:
    """Return the model name of the CPU as the operating system gives it."""
    name = _cpuinfo_field("model name")
    return (name or platform.processor() or platform.machine() or "unknown")[:512]


def isa_features() -> tuple[str, ...]:
    """Return the instruction-set features of this CPU, sorted; the architecture where none are listed."""
    flags = (_cpuinfo_field("flags") or _cpuinfo_field("Features") or "").split()
    return tuple(sorted({platform.machine(), *(flag for flag in flags if _ISA_FEATURE.match(flag))}))


def isa_digest(features: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that are equal for equal sets of features."""
    text = " ".join(sorted(set(features)))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def available_cores() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count() or 1


def distribution_version(name: str) -> str:
    """Return the version of an installed distribution, or ``not installed``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpuinfo_field(name: str) -> str | None:
    try:
        text = _CPUINFO.read_text(errors="replace")
    except OSError:  # other systems have no such file; the callers fall back to what Python knows
        return None
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return None if found is None else found.group(1).strip()
