"""Where the tensors of a compiled model live: this CPU's memory, or a device's."""

from __future__ import annotations

import json
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuner.artifact import ALIGNMENT_BYTES
from tuner.errors import JobFailed

_CPU = 1
"""DLPack's number of the CPU."""


class Place(Protocol):
    """Moves arrays to where kernels read them and back.

    Attributes:
        device: The TVM device.
    """

    device: Any

    def take(self, array: NDArray[Any]) -> Any:
        """Return a tensor with an array's elements that kernels can read."""
        ...

    def adopt(self, value: Any) -> Any:
        """Return a tensor of something that speaks DLPack, without a copy where it is here already."""
        ...

    def give(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor's elements as an array of this process."""
        ...

    def wait(self) -> None:
        """Wait until everything that was begun is done."""
        ...


class HostPlace:
    """This CPU's memory; nothing is copied that kernels can use where it is."""

    def __init__(self) -> None:
        from tvm import cpu

        self.device = cpu()

    def take(self, array: NDArray[Any]) -> Any:
        """Hand an array over; copy it only if kernels could not read it where it is."""
        import tvm_ffi
        from tvm import runtime

        if not array.flags.c_contiguous or array.ctypes.data % ALIGNMENT_BYTES or not array.flags.writeable:
            return runtime.tensor(np.ascontiguousarray(array))
        return tvm_ffi.from_dlpack(array)

    def adopt(self, value: Any) -> Any:
        """Return a tensor over the same memory."""
        import tvm_ffi

        return value if isinstance(value, tvm_ffi.Tensor) else tvm_ffi.from_dlpack(value)

    def give(self, tensor: Any) -> NDArray[Any]:
        """Return an array over the same memory."""
        return np.from_dlpack(tensor)

    def wait(self) -> None:
        """Do nothing: calls return when they are done."""


class DevicePlace:
    """The memory of the first device of a kind.

    Args:
        kind: TVM's name of the kind of device.

    Raises:
        JobFailed: If there is none.
    """

    def __init__(self, kind: str) -> None:
        import tvm

        from tuner.measure.cuda.build import register_compiler

        # A model that was compiled without a driver carries source, which is compiled when it is first used.
        register_compiler()
        self.device = tvm.device(kind, 0)
        if not self.device.exist:
            raise JobFailed(f"the model was compiled for {kind}, and no {kind} device answers here")

    def take(self, array: NDArray[Any]) -> Any:
        """Copy an array to the device."""
        from tvm import runtime

        return runtime.tensor(np.ascontiguousarray(array), self.device)

    def adopt(self, value: Any) -> Any:
        """Return a tensor over the same memory, or a copy of what is in the CPU's."""
        import tvm_ffi

        if int(value.__dlpack_device__()[0]) == _CPU:
            return self.take(np.from_dlpack(value))
        return value if isinstance(value, tvm_ffi.Tensor) else tvm_ffi.from_dlpack(value)

    def give(self, tensor: Any) -> NDArray[Any]:
        """Copy a tensor from the device."""
        found: NDArray[Any] = tensor.numpy()
        return found

    def wait(self) -> None:
        """Wait for the device."""
        self.device.sync()


def place_of(target: str) -> Place:
    """Return where a model for a target runs.

    Args:
        target: Canonical JSON of the target.

    Raises:
        JobFailed: If its device is not on this machine.
    """
    kind = str(json.loads(target).get("kind", "llvm"))
    return HostPlace() if kind == "llvm" else DevicePlace(kind)
