"""What a schedule must know of the machine, and the targets that say which machine it is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from search_space.error_text import last_line
from search_space.hardware_gpu import GpuHardware, cuda_spec, gpu_hardware
from search_space.tvm_api import tvm

_CACHE_ROOT = Path("/sys/devices/system/cpu/cpu0/cache")


class Machine(Protocol):
    """What every kind of hardware says of itself; rules and features of a kind know its class.

    Implementations are frozen values. What depends on the kind (rules, features, the draft model) is
    looked up by ``kind``, so nothing else asks which one it has.
    """

    @property
    def kind(self) -> str:
        """``cpu`` or ``gpu``."""
        ...

    @property
    def name(self) -> str:
        """Readable name of the processor."""
        ...

    @property
    def cores(self) -> int:
        """CPU threads that kernels may use (1 where they run elsewhere)."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the limits as plain values."""
        ...


Limits = TypeVar("Limits", bound=Machine)
"""The hardware class that a rule is written for."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Limits of one CPU, in bytes and counts.

    Attributes:
        name: LLVM's name of the micro-architecture.
        vector_bytes: Width of the widest vector register.
        vector_registers: Number of architectural vector registers.
        l1_bytes: Level-1 data cache of one core.
        l2_bytes: Level-2 cache of one core.
        l3_bytes: Last-level cache, all of it.
        line_bytes: Cache line.
        cores: Threads that kernels may use.
        instruction_sets: LLVM's names of what code for it may use.
    """

    kind: ClassVar[str] = "cpu"

    name: str
    vector_bytes: int
    vector_registers: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    line_bytes: int
    cores: int
    instruction_sets: tuple[str, ...] = ()

    def lanes(self, element_bytes: int) -> int:
        """Return how many elements of a size one vector register holds."""
        return max(1, self.vector_bytes // element_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Return the limits as plain values."""
        return asdict(self)


def available_cores() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def resolve_target(text: str | None = None, threads: int | None = None) -> Any:
    """Turn a user's target text into a TVM target with the CPU and the thread count named.

    Args:
        text: ``None`` or ``native`` for this machine, a target kind such as ``llvm``, a tag, a
            command-line form such as ``llvm -mcpu=skylake-avx512`` or ``cuda -arch=sm_90``, or JSON.
        threads: Threads that kernels may use; every CPU of this process when absent.

    Returns:
        A ``tvm.target.Target``; of a CPU, ``num-cores`` is the thread count, of a GPU ``arch`` is named.

    Raises:
        ValueError: If TVM does not know the target, or the GPU is unknown.
    """
    threads = threads or available_cores()
    if text is None or text in ("native", "llvm", "cpu"):
        spec: dict[str, Any] = {"kind": "llvm", "mcpu": host_cpu()}
    elif text == "cuda":
        spec = {"kind": "cuda"}
    elif text.lstrip().startswith("{"):
        try:
            spec = json.loads(text)
        except ValueError as error:
            raise ValueError(f"unknown target {text!r}: not valid JSON ({error})") from error
    elif " " in text.strip() or text.startswith("llvm"):
        spec = _from_options(text)
    else:
        try:
            spec = _plain(tvm.target.Target(text).export())
        except Exception as error:
            raise ValueError(
                f"unknown target {text!r}: use native, 'llvm -mcpu=NAME', a TVM target tag or JSON"
            ) from error
    if spec.get("kind") == "llvm":
        if "mtriple" not in spec:
            spec.setdefault("mcpu", host_cpu())
        spec["num-cores"] = threads
    if spec.get("kind") == "cuda":
        spec = cuda_spec(spec, device_arch())
    try:
        if spec.get("kind") == "llvm":
            _check_cpu(spec)
        return tvm.target.Target(spec)
    except Exception as error:
        raise ValueError(
            f"unknown target {text!r}: {last_line(error)}; "
            "use native, 'llvm -mcpu=NAME', a TVM target tag or JSON"
        ) from error


def target_text(target: Any) -> str:
    """Return a target as canonical JSON, the form that records store and look-ups compare."""
    return json.dumps(_plain(target.export()), sort_keys=True, separators=(",", ":"))


def host_cpu() -> str:
    """Return LLVM's name for this machine's CPU."""
    return str(tvm.target.codegen.llvm_get_system_cpu())


def device_arch() -> str | None:
    """Return the architecture of this machine's first CUDA device, such as ``sm_90``, or None."""
    device = tvm.cuda(0)
    return f"sm_{str(device.compute_version).replace('.', '')}" if device.exist else None


def device_name(target: Any) -> str:
    """Return the name of the device that kernels of a target run on here; empty for CPUs and without one."""
    if str(target.kind.name) != "cuda":
        return ""
    device = tvm.cuda(0)
    return str(device.device_name) if device.exist else ""


def hardware_of(target: Any) -> Machine:
    """Describe the machine of a target: the one place where the target's kind decides.

    Args:
        target: A resolved target.

    Returns:
        The limits that sketches and features use.

    Raises:
        ValueError: If there are no limits for targets of this kind.
    """
    kind = str(target.kind.name)
    if kind not in _DESCRIBED:
        raise ValueError(f"target kind {kind!r}: cannot be tuned; known are {', '.join(_DESCRIBED)}")
    return _DESCRIBED[kind](target)


def cpu_hardware(target: Any) -> Hardware:
    """Describe the CPU of a target; caches are read from this machine.

    Args:
        target: A resolved CPU target.

    Returns:
        Its limits.
    """

    def feature(name: str) -> bool:
        return bool(tvm.target.codegen.target_has_features(name, target))

    wide = feature("avx512f")
    vector_bytes = 64 if wide else 32 if feature("avx2") or feature("avx") else 16
    export = _plain(target.export())
    level1, level2, level3, line = _caches()
    return Hardware(
        name=str(export.get("mcpu", "generic")),
        vector_bytes=vector_bytes,
        vector_registers=32 if wide else 16,
        l1_bytes=level1,
        l2_bytes=level2,
        l3_bytes=level3,
        line_bytes=line,
        cores=int(export.get("num-cores", available_cores())),
        instruction_sets=tuple(sorted(map(str, tvm.target.codegen.llvm_get_cpu_features(target)))),
    )


def _gpu_hardware(target: Any) -> GpuHardware:
    return gpu_hardware(_plain(target.export()))


_DESCRIBED: Mapping[str, Callable[[Any], Machine]] = {"llvm": cpu_hardware, "cuda": _gpu_hardware}


def _caches() -> tuple[int, int, int, int]:
    sizes = {1: 32 << 10, 2: 1 << 20, 3: 16 << 20}
    line = 64
    for index in sorted(_CACHE_ROOT.glob("index*")):
        kind = (index / "type").read_text().strip()
        if kind == "Instruction":
            continue
        level = int((index / "level").read_text())
        text = (index / "size").read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1], 1)
        sizes[level] = int(text.rstrip("KM")) * unit
        line_file = index / "coherency_line_size"
        if line_file.exists():
            line = int(line_file.read_text())
    return sizes[1], sizes[2], sizes[3], line


def _check_cpu(spec: Mapping[str, Any]) -> None:
    """Refuse a CPU that LLVM does not know: it would print a line and take a generic one instead."""
    cpu = spec.get("mcpu")
    machine = {name: spec[name] for name in ("kind", "mtriple") if name in spec}
    if cpu is None:
        return
    known = sorted(map(str, tvm.target.codegen.llvm_get_cpu_archlist(tvm.target.Target(machine))))
    if cpu not in known:
        near = get_close_matches(str(cpu), known, 3, 0.5)
        raise ValueError(f"LLVM knows no CPU {cpu!r}, but {', '.join(near or known)}")


def _from_options(text: str) -> dict[str, Any]:
    words = text.split()
    spec: dict[str, Any] = {"kind": words[0]}
    for word in words[1:]:
        name, separator, value = word.lstrip("-").partition("=")
        if not separator:
            raise ValueError(f"unknown target {text!r}: expected -name=value, found {word!r}")
        spec[name] = (
            value.split(",") if name in ("mattr", "libs") else int(value) if value.isdigit() else value
        )
    return spec


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value
    if hasattr(value, "__iter__"):
        return [_plain(v) for v in value]
    return int(value)
