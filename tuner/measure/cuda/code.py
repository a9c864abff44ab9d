"""A built candidate as it travels from the process that built it to the one that owns the device."""

from __future__ import annotations

import msgspec


class KernelInfo(msgspec.Struct, frozen=True):
    """How a kernel is called.

    Attributes:
        argument_types: ``handle`` for pointers, else the scalar's type.
        launch_tags: What its launch passes behind the arguments, in TVM's order.
    """

    argument_types: list[str]
    launch_tags: list[str]


class DeviceCode(msgspec.Struct, frozen=True):
    """Machine code for a device and the program that launches it.

    Attributes:
        host: TVM's JSON of the lowered functions that run on the CPU, ``main`` among them.
        kernels: How each kernel is called.
        binary: The cubin that holds them.
        tolerance_scale: How much larger than usual a rounding error the candidate may have.
    """

    host: str
    kernels: dict[str, KernelInfo]
    binary: bytes
    tolerance_scale: float = 1.0


_decoder = msgspec.msgpack.Decoder(DeviceCode)


def pack(code: DeviceCode) -> bytes:
    """Return code as bytes."""
    return msgspec.msgpack.encode(code)


def unpack(data: bytes) -> DeviceCode:
    """Read code back.

    Raises:
        ValueError: If the bytes are something else.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"damaged device code: {error}") from error
