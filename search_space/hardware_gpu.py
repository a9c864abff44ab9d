"""The limits of an NVIDIA GPU: a table of architectures and chips, and what the target itself says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

DEFAULT_ARCH = "sm_80"
"""What ``cuda`` means where no device can be asked: its code also runs on sm_86 and sm_89."""


@dataclass(frozen=True, slots=True)
class GpuHardware:
    """Limits and nominal speed of one NVIDIA GPU, in bytes, counts and operations a second.

    Attributes:
        name: Architecture and chip, such as ``sm_90 h100``.
        capability: Compute capability times ten (sm_90: 90).
        warp: Threads of a warp.
        block_threads: Most threads of a block.
        processor_threads: Most threads resident on a multiprocessor.
        processor_blocks: Most blocks resident on a multiprocessor.
        thread_registers: Most 32-bit registers of a thread.
        processor_registers: 32-bit registers of a multiprocessor.
        static_shared_bytes: Shared memory that a block may declare statically.
        block_shared_bytes: Shared memory that a block may ask for (opt-in, dynamic).
        processor_shared_bytes: Shared memory of a multiprocessor.
        processors: Multiprocessors.
        l2_bytes: Level-2 cache, all of it.
        clock_hertz: Boost clock.
        fp32_flops: Multiply-adds of all CUDA cores, counted as two.
        tensor_flops: Dense fp16 multiply-adds of all tensor cores, counted as two; 0 without.
        dram_bytes_per_second: Memory bandwidth.
        cores: CPU threads that kernels use: none beside the one that launches them.
        has_tf32: Whether products of float32 may be computed as TF32 (10 bits of mantissa instead of 23).
    """

    kind: ClassVar[str] = "gpu"

    name: str
    capability: int
    warp: int
    block_threads: int
    processor_threads: int
    processor_blocks: int
    thread_registers: int
    processor_registers: int
    static_shared_bytes: int
    block_shared_bytes: int
    processor_shared_bytes: int
    processors: int
    l2_bytes: int
    clock_hertz: float
    fp32_flops: float
    tensor_flops: float
    dram_bytes_per_second: float
    cores: int = 1
    has_tf32: bool = False

    @property
    def has_async_copy(self) -> bool:
        """Whether threads can copy from global to shared memory without registers (``cp.async``)."""
        return self.capability >= 80

    @property
    def fetch_bytes(self) -> int:
        """Bytes of the widest load of one thread."""
        return 16

    def to_dict(self) -> dict[str, Any]:
        """Return the limits as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Architecture:
    """Per multiprocessor (CUDA C++ Programming Guide, table of technical specifications).

    Attributes:
        shared_kib: Shared memory; a block may have all of it, less one KiB from sm_80 on.
        threads: Resident threads.
        blocks: Resident blocks.
        fp32_lanes: float32 multiply-adds a cycle (throughput table of the same guide).
        tensor_lanes: Dense fp16 multiply-adds a cycle of its tensor cores (architecture white papers).
        chip: The chip that is meant where the target names none.
    """

    shared_kib: int
    threads: int
    blocks: int
    fp32_lanes: int
    tensor_lanes: int
    chip: str


_ARCHITECTURES: Mapping[int, _Architecture] = {
    70: _Architecture(96, 2048, 32, 64, 512, "v100"),
    75: _Architecture(64, 1024, 16, 64, 512, "t4"),
    80: _Architecture(164, 2048, 32, 64, 1024, "a100"),
    86: _Architecture(100, 1536, 16, 128, 512, "a10"),
    89: _Architecture(100, 1536, 24, 128, 512, "l4"),
    90: _Architecture(228, 2048, 32, 128, 2048, "h100"),
}


@dataclass(frozen=True, slots=True)
class _Chip:
    """One product, from its data sheet: multiprocessors, boost clock, level-2 cache, bandwidth."""

    processors: int
    clock_megahertz: int
    l2_mib: int
    gigabytes_per_second: int


_CHIPS: Mapping[str, _Chip] = {
    "v100": _Chip(80, 1530, 6, 900),
    "t4": _Chip(40, 1590, 4, 320),
    "a100": _Chip(108, 1410, 40, 1555),
    "a10": _Chip(72, 1695, 6, 600),
    "l4": _Chip(58, 2040, 48, 300),
    "l40s": _Chip(142, 2520, 96, 864),
    "h100": _Chip(132, 1980, 50, 3350),
    "h200": _Chip(132, 1980, 50, 4800),
}

_STATIC_SHARED_BYTES = 48 << 10
_THREAD_REGISTERS = 255
_PROCESSOR_REGISTERS = 65536
"""The same on every architecture of the table."""


def gpu_hardware(export: Mapping[str, Any]) -> GpuHardware:
    """Describe the GPU of a target.

    Args:
        export: The target's attributes; ``arch`` is needed, ``model`` may name the chip, ``tf32`` among
            ``libs`` allows TF32, and limits that are given (``max_shared_memory_per_block`` and the like)
            override the table.

    Returns:
        The limits that sketches and features use.

    Raises:
        ValueError: If the architecture or the chip is not in the table.
    """
    arch = str(export.get("arch", ""))
    digits = arch.removeprefix("sm_").rstrip("af")
    known = _ARCHITECTURES.get(int(digits)) if digits.isdigit() else None
    if known is None:
        names = ", ".join(f"sm_{number}" for number in _ARCHITECTURES)
        raise ValueError(f"target architecture {arch!r}: unknown; known are {names}")
    model = str(export.get("model") or known.chip)
    chip = _CHIPS.get(model if model != "unknown" else known.chip)
    if chip is None:
        raise ValueError(f"target model {model!r}: unknown; known are {', '.join(_CHIPS)}")
    capability = int(digits)
    cycles = chip.clock_megahertz * 1e6 * chip.processors
    shared = known.shared_kib << 10
    described = GpuHardware(
        name=f"sm_{digits} {model}",
        capability=capability,
        warp=32,
        block_threads=1024,
        processor_threads=known.threads,
        processor_blocks=known.blocks,
        thread_registers=_THREAD_REGISTERS,
        processor_registers=_PROCESSOR_REGISTERS,
        static_shared_bytes=_STATIC_SHARED_BYTES,
        block_shared_bytes=shared - (1 << 10 if capability >= 80 else 0),
        processor_shared_bytes=shared,
        processors=chip.processors,
        l2_bytes=chip.l2_mib << 20,
        clock_hertz=chip.clock_megahertz * 1e6,
        fp32_flops=2.0 * cycles * known.fp32_lanes,
        tensor_flops=2.0 * cycles * known.tensor_lanes,
        dram_bytes_per_second=chip.gigabytes_per_second * 1e9,
        has_tf32=capability >= 80 and "tf32" in export.get("libs", ()),
    )
    return _overridden(described, export)


def _overridden(described: GpuHardware, export: Mapping[str, Any]) -> GpuHardware:
    """Apply the limits that the target itself gives."""
    found = described
    for attribute in ("max_threads_per_block", "max_num_threads"):
        if attribute in export:
            found = replace(found, block_threads=min(found.block_threads, int(export[attribute])))
    if "thread_warp_size" in export:
        found = replace(found, warp=int(export["thread_warp_size"]))
    if "registers_per_block" in export:
        found = replace(found, processor_registers=int(export["registers_per_block"]))
    if "l2_cache_size_bytes" in export:
        found = replace(found, l2_bytes=int(export["l2_cache_size_bytes"]))
    if "max_shared_memory_per_block" in export:
        limit = int(export["max_shared_memory_per_block"])
        # TVM's tags give the static limit; any other number is what the user wants a block to have.
        if limit != _STATIC_SHARED_BYTES:
            found = replace(
                found,
                static_shared_bytes=min(limit, found.static_shared_bytes),
                block_shared_bytes=min(limit, found.block_shared_bytes),
            )
    return found


def cuda_spec(spec: Mapping[str, Any], device_arch: str | None) -> dict[str, Any]:
    """Complete a CUDA target: name the architecture.

    Args:
        spec: The target's attributes as the user gave them.
        device_arch: Architecture of the device of this machine, or None without one.

    Returns:
        The attributes with ``arch``.

    Raises:
        ValueError: If the GPU is unknown (see :func:`gpu_hardware`).
    """
    completed = dict(spec)
    completed.setdefault("arch", device_arch or DEFAULT_ARCH)
    gpu_hardware(completed)
    return completed
