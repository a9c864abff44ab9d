"""A task's argument on the device, with the guard bands that it has in the CPU's memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from search_space.tvm_api import tvm, tvm_ffi
from tuner.measure.buffers import GUARD_BYTES, GuardedBuffer


class DeviceBuffer:
    """Memory of a device that mirrors a guarded buffer.

    Args:
        buffer: The argument in the CPU's memory.
        device: A TVM device.
    """

    def __init__(self, buffer: GuardedBuffer, device: Any) -> None:
        self._buffer = buffer
        self._framed = tvm.runtime.empty((buffer.framed.size,), "uint8", device)
        # TVM's own views keep the pointer and add an offset, which kernels do not look at.
        self._inner = _Bytes(self._framed, GUARD_BYTES, buffer.bytes)
        self.tensor = tvm_ffi.from_dlpack(self._inner)._create_view(buffer.shape, buffer.dtype)

    def upload(self) -> None:
        """Copy elements and guard bands to the device."""
        self._framed.copyfrom(self._buffer.framed)

    def download(self) -> None:
        """Copy elements and guard bands back."""
        np.copyto(self._buffer.framed, self._framed.numpy())


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _DLManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", _DLTensor), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Bytes:
    """Some bytes of a tensor as DLPack describes memory; it must outlive what is made of it."""

    _UINT = 1

    def __init__(self, owner: Any, offset: int, count: int) -> None:
        self._owner = owner
        self._shape = (ctypes.c_int64 * 1)(count)
        self._strides = (ctypes.c_int64 * 1)(1)
        self._device = owner.__dlpack_device__()
        device_type, device_id = (int(number) for number in self._device)
        data = int(owner.data_ptr()) + offset
        tensor = _DLTensor(data, device_type, device_id, 1, self._UINT, 8, 1, self._shape, self._strides, 0)
        self._managed = _DLManagedTensor(tensor, None, None)

    def __dlpack__(self, **_: Any) -> Any:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return make(ctypes.addressof(self._managed), b"dltensor", None)

    def __dlpack_device__(self) -> Any:
        return self._device
