"""From a scheduled module to a cubin and the program that launches it, on the CPU alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.hardware import device_arch, hardware_of
from search_space.hardware_gpu import GpuHardware
from search_space.kinds import space_of
from search_space.tvm_api import save_json, tirx, tvm, tvm_ffi, walk_types
from tuner.measure.build import guard_size
from tuner.measure.cuda.code import DeviceCode, KernelInfo
from tuner.measure.cuda.compiler import compile_cuda
from tuner.measure.cuda.report import KernelReport, parse_report
from tuner.measure.lowering import gpu_pipeline

SPILL_LIMIT_BYTES = 1020
"""Spilled bytes a thread, written and read, above which a candidate is refused: as many as its 255 registers
hold. Such a kernel lives in local memory."""

_GRID_LIMITS = {"blockIdx.x": 2**31 - 1, "blockIdx.y": 65535, "blockIdx.z": 65535}
"""CUDA C++ Programming Guide, table of technical specifications."""

_KERNEL_CALL = 2
"""TVM's ``CallingConv::kDeviceKernelLaunch``."""

HOST = {"kind": "llvm"}
"""Target of the launching program; it does nothing that the choice of a CPU would speed up."""


class ExceedsDevice(ValueError):
    """A kernel that the device could not launch, or that would crawl."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a kernel is launched, as far as it is known when it is compiled.

    Attributes:
        name: The kernel.
        extents: Blocks and threads by axis, such as ``blockIdx.x``.
        dynamic_shared_bytes: Shared memory of a block that is asked for at the launch.
    """

    name: str
    extents: dict[str, int]
    dynamic_shared_bytes: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return prod(extent for axis, extent in self.extents.items() if axis.startswith("threadIdx"))


@dataclass(frozen=True, slots=True)
class DeviceBuild:
    """A candidate that was built for a device.

    Attributes:
        code: What the process that owns the device needs.
        source: The CUDA source.
        facts: What the compiler reported, by name (see docs/records.md).
        stages: Processor seconds of ``lower`` and ``cuda``.
    """

    code: DeviceCode
    source: str
    facts: dict[str, float]
    stages: dict[str, float]


def build_device(
    module: Any,
    target: Any,
    *,
    tolerance_scale: float = 1.0,
    spill_limit_bytes: int = SPILL_LIMIT_BYTES,
) -> DeviceBuild:
    """Compile a scheduled module for a GPU; neither a GPU nor a driver is needed.

    Args:
        module: An IRModule of TensorIR functions, every block bound to threads.
        target: A resolved CUDA target.
        tolerance_scale: Passed on to the code.
        spill_limit_bytes: Spilled bytes a thread that are too many.

    Raises:
        TooLarge: If a function is unrolled too far to be compiled.
        ExceedsDevice: If a launch or a kernel exceeds the hardware.
        CompileError: If the compiler refuses the source.
        JobFailed: If there is no compiler.
    """
    guard_size(module)
    hardware = gpu_of(target)
    began = _processor_seconds()
    host, device = lower_device(module, target)
    launches = [_launch(str(name.name_hint), func) for name, func in device.functions.items()]
    for launch in launches:
        check_launch(launch, hardware)
    register_compiler()
    lowered = _processor_seconds()
    with target:
        # With a driver TVM compiles at once, without one not at all: the result is remembered either way.
        source = str(tvm.get_global_func("target.build.cuda")(device, target).inspect_source())
    binary, log = compile_cuda(source, arch_of(target))
    compiled = _processor_seconds()
    reports = parse_report(log)
    shared = {launch.name: launch.dynamic_shared_bytes for launch in launches}
    for launch in launches:
        report = next((r for r in reports if r.name == launch.name), None)
        if report is not None:
            check_report(report, launch, hardware, spill_limit_bytes)
    infos = {str(n.name_hint): _info(f) for n, f in device.functions.items()}
    return DeviceBuild(
        DeviceCode(save_json(host), infos, binary, tolerance_scale),
        source,
        facts_of(reports, shared, len(binary)),
        {"lower": lowered - began, "cuda": compiled - lowered},
    )


def gpu_of(target: Any) -> GpuHardware:
    """Return the limits of the GPU of a target.

    Raises:
        ValueError: If the target is none of a GPU.
    """
    hardware = hardware_of(target)
    if not isinstance(hardware, GpuHardware):
        raise ValueError(f"target {target.kind.name}: not a GPU")
    return hardware


def lower_device(module: Any, target: Any) -> tuple[Any, Any]:
    """Lower a module with the pipeline of measured kernels and part it.

    Args:
        module: An IRModule of TensorIR functions.
        target: A resolved CUDA target.

    Returns:
        The functions of the CPU and those of the device, each as an IRModule.

    Raises:
        ValueError: If no part of it runs on the device.
    """
    passes, finalise_host, finalise_device = gpu_pipeline()
    bound = tvm.tirx.transform.BindTarget(target.with_host(tvm.target.Target(HOST)))(module)
    with tvm.transform.PassContext(config=dict(space_of(str(target.kind.name)).lowering)):
        parted = passes(bound)
        device = tvm.tirx.transform.Filter(_runs_on_device)(parted)
        if not device.functions:
            raise ValueError("nothing of the program is bound to threads of the device")
        host = tvm.tirx.transform.Filter(lambda func: not _runs_on_device(func))(parted)
        return finalise_host()(host), finalise_device()(device)


def check_launch(launch: Launch, hardware: GpuHardware) -> None:
    """Refuse a launch that the device refuses.

    Raises:
        ExceedsDevice: With the number and the limit.
    """
    if launch.threads > hardware.block_threads:
        raise ExceedsDevice(
            f"kernel {launch.name} has {launch.threads} threads a block, "
            f"{hardware.name} has at most {hardware.block_threads}"
        )
    for axis, limit in _GRID_LIMITS.items():
        if launch.extents.get(axis, 1) > limit:
            raise ExceedsDevice(f"kernel {launch.name} has {axis} of {launch.extents[axis]}, at most {limit}")
    if launch.dynamic_shared_bytes > hardware.block_shared_bytes:
        raise ExceedsDevice(
            f"kernel {launch.name} asks for {launch.dynamic_shared_bytes} bytes of shared memory a block, "
            f"{hardware.name} has {hardware.block_shared_bytes}"
        )


def check_report(report: KernelReport, launch: Launch, hardware: GpuHardware, spill_limit_bytes: int) -> None:
    """Refuse a kernel that cannot be launched or that spills beyond all measure.

    Raises:
        ExceedsDevice: With the number and the limit.
    """
    warps = -(-launch.threads // hardware.warp)
    registers = -(-report.registers // 8) * 8 * hardware.warp * warps
    if registers > hardware.processor_registers:
        raise ExceedsDevice(
            f"kernel {report.name} needs {registers} registers a block "
            f"({report.registers} a thread), {hardware.name} has {hardware.processor_registers}"
        )
    shared = report.shared_bytes + launch.dynamic_shared_bytes
    if shared > hardware.block_shared_bytes:
        raise ExceedsDevice(
            f"kernel {report.name} uses {shared} bytes of shared memory a block, "
            f"{hardware.name} has {hardware.block_shared_bytes}"
        )
    if report.spill_bytes > spill_limit_bytes:
        raise ExceedsDevice(
            f"kernel {report.name} spills {report.spill_bytes} bytes a thread, "
            f"more than {spill_limit_bytes} are refused: keep less in registers"
        )


def facts_of(
    reports: tuple[KernelReport, ...], dynamic_shared_bytes: dict[str, int], code_bytes: int
) -> dict[str, float]:
    """Sum up the kernels of a candidate for the log; of every number the largest counts.

    Args:
        reports: Its kernels.
        dynamic_shared_bytes: By kernel, what its launch asks for.
        code_bytes: Size of the machine code.
    """

    def largest(numbers: list[int]) -> float:
        return float(max(numbers, default=0))

    return {
        "kernels": float(len(reports)),
        "registers": largest([r.registers for r in reports]),
        "spill_bytes": largest([r.spill_bytes for r in reports]),
        "stack_bytes": largest([r.stack_bytes for r in reports]),
        "shared_bytes": largest([r.shared_bytes + dynamic_shared_bytes.get(r.name, 0) for r in reports]),
        "code_bytes": float(code_bytes),
    }


def register_compiler() -> None:
    """Make :func:`compile_cuda` the compiler of TVM's CUDA modules in this process."""
    tvm_ffi.register_global_func("tvm_callback_cuda_compile", _compile_for_tvm, override=True)


def arch_of(target: Any) -> str:
    """Return the architecture that a CUDA target names."""
    return str(target.attrs["arch"])


def _compile_for_tvm(source: str) -> bytes:
    target = tvm.target.Target.current(allow_none=True)
    arch = device_arch() if target is None else arch_of(target)
    if arch is None:
        raise ValueError("no architecture to compile for: neither a target nor a device")
    return compile_cuda(str(source), arch)[0]


def _processor_seconds() -> float:
    """Return the processor time of this process and of compilers that it called."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _runs_on_device(func: Any) -> bool:
    return int(func.attrs.get("calling_conv", 0)) == _KERNEL_CALL


def _launch(name: str, func: Any) -> Launch:
    extents: dict[str, int] = {}
    shared = 0

    def note_extent(node: Any) -> None:
        if node.attr_key == "thread_extent" and isinstance(node.value, tirx.IntImm):
            extents[str(node.node.thread_tag)] = int(node.value)

    def note_allocation(node: Any) -> None:
        nonlocal shared
        if str(node.buffer.scope()) == "shared.dyn":
            bits = int(tvm.DataType(str(node.buffer.dtype)).bits) * int(
                tvm.DataType(str(node.buffer.dtype)).lanes
            )
            shared += prod(int(extent) for extent in node.buffer.shape) * bits // 8

    walk_types(func.body, [(tirx.AttrStmt, note_extent), (tirx.AllocBuffer, note_allocation)])
    return Launch(name, extents, shared)


def _info(func: Any) -> KernelInfo:
    types = ["handle" if isinstance(p.ty, tvm.ir.PointerType) else str(p.dtype) for p in func.params]
    return KernelInfo(types, [str(tag) for tag in func.attrs["tirx.kernel_launch_params"]])
