"""What tuning for an NVIDIA GPU depends on: a compiler to build with, a device to measure on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from search_space.hardware import device_arch, device_name
from tuner.doctor.check import Check
from tuner.errors import JobFailed
from tuner.measure.cuda.measurer import require_device
from tuner.measure.cuda.toolkit import find_toolkit
from tuner.units import bytes_text


def gpu_checks(target: Any, limits: dict[str, Any]) -> Iterator[Check]:
    """Look at compiler and device.

    Args:
        target: A resolved CUDA target.
        limits: Its limits as plain values (``GpuHardware.to_dict``).
    """
    shared, cache = bytes_text(limits["block_shared_bytes"]), bytes_text(limits["l2_bytes"])
    words = f"{limits['name']}: {limits['processors']} multiprocessors, {shared} shared a block, L2 {cache}"
    yield Check("machine", "ok", words, "", limits)
    try:
        toolkit = find_toolkit()
        yield Check("CUDA compiler", "ok", toolkit.name, "", toolkit.name)
        require_device()
    except JobFailed as error:
        message, _, remedy = str(error).partition(": ")
        name = "device" if "compiler" not in message else "CUDA compiler"
        yield Check(name, "bad", message, remedy, None)
        return
    arch = str(target.attrs["arch"])
    found = str(device_arch())
    differs = found.rstrip("af") != arch.rstrip("af")
    remedy = f"the target's code does not run here: use --target 'cuda -arch={found}'" if differs else ""
    yield Check("device", "bad" if differs else "ok", f"{device_name(target)} ({found})", remedy, found)
