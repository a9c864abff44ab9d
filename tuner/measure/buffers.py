"""Buffers that notice what a kernel does to them, and the inputs that are put into them.

Each buffer lies in a mapping of its own::

    | no access | guard band | elements | guard band | no access |

A write just outside the elements changes a guard band and is reported as a wrong result; a write
further out ends the process, which is a forked child.
"""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.tvm_api import tvm
from search_space.workload import BufferSpec

INPUT_SETS = ("random", "integers", "extremes", "zeros")
"""Names of the input sets, the order in which references are computed (``random`` is always there)."""

GUARD_BYTES = _PAGE = mmap.PAGESIZE
"""Length of the guard band in front of the elements."""

HUGE_BYTES = 4 << 20
"""Buffers from this size on ask for huge pages, as NumPy does for the arrays that programs pass (NumPy's own
threshold): a kernel that streams through them is up to half as fast again."""

_GUARD_BYTE = 0xA5
_POISON_BYTE = 0xFF
_libc = ctypes.CDLL(None, use_errno=True)


class GuardedBuffer:
    """Memory for one argument with guard bands on both sides.

    The memory is private and anonymous: children forked later read it without a copy, and what they
    write stays theirs.

    Args:
        shape: Extents, outermost first.
        dtype: TVM's name of the element type.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.bytes = prod(shape) * element_bytes(dtype)
        body = -(-(self.bytes + _PAGE) // _PAGE) * _PAGE
        self._map = mmap.mmap(-1, body + 3 * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if self.bytes >= HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # advice: a kernel built without huge pages refuses it
                self._map.madvise(mmap.MADV_HUGEPAGE, 2 * _PAGE, self.bytes // _PAGE * _PAGE)
        self._raw: NDArray[np.uint8] = np.frombuffer(self._map, dtype=np.uint8)
        self._before = self._raw[_PAGE : 2 * _PAGE]
        self._after = self._raw[2 * _PAGE + self.bytes : 2 * _PAGE + body]
        self.raw = self._raw[2 * _PAGE : 2 * _PAGE + self.bytes]
        self.renew_guards()
        address = self._raw.ctypes.data
        for page in (address, address + 2 * _PAGE + body):
            if _libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect of a guard page failed")

    @property
    def array(self) -> NDArray[Any]:
        """The elements as a NumPy array over the same memory."""
        return self.raw.view(numpy_dtype(self.dtype)).reshape(self.shape)

    @property
    def framed(self) -> NDArray[np.uint8]:
        """The bytes of the elements with the guard bands on both sides."""
        return self._raw[_PAGE : 2 * _PAGE + self.bytes + len(self._after)]

    def tensor(self) -> Any:
        """Return a TVM tensor over the same memory."""
        return tvm.runtime.from_dlpack(self.raw)._create_view(self.shape, self.dtype)

    def poison(self) -> None:
        """Fill the elements with bytes that are NaN in every floating-point format."""
        self.raw[:] = _POISON_BYTE

    def renew_guards(self) -> None:
        """Write the guard bands, whatever happened to them."""
        self._before[:] = _GUARD_BYTE
        self._after[:] = _GUARD_BYTE

    def guards_hold(self) -> bool:
        """Report whether nothing was written just outside the elements."""
        return bool((self._before == _GUARD_BYTE).all() and (self._after == _GUARD_BYTE).all())


@dataclass(frozen=True, slots=True)
class Arguments:
    """The buffers of one task in call order.

    Attributes:
        specs: What the workload says of each.
        buffers: The memory of each.
    """

    specs: tuple[BufferSpec, ...]
    buffers: tuple[GuardedBuffer, ...]

    @classmethod
    def allocate(cls, specs: tuple[BufferSpec, ...]) -> Arguments:
        """Make a guarded buffer for every argument."""
        return cls(specs, tuple(GuardedBuffer(s.shape, s.dtype) for s in specs))

    @property
    def inputs(self) -> list[tuple[BufferSpec, GuardedBuffer]]:
        """The arguments that are read, with their buffers."""
        return [(s, b) for s, b in zip(self.specs, self.buffers, strict=True) if not s.is_output]

    @property
    def outputs(self) -> list[tuple[BufferSpec, GuardedBuffer]]:
        """The arguments that are written, with their buffers."""
        return [(s, b) for s, b in zip(self.specs, self.buffers, strict=True) if s.is_output]

    @property
    def output_bytes(self) -> int:
        """Bytes of all outputs together."""
        return sum(b.bytes for _, b in self.outputs)

    def fill(self, name: str, seed: int, is_positive: bool) -> None:
        """Write an input set into the inputs.

        Args:
            name: One of :data:`INPUT_SETS`.
            seed: Seed; equal seeds give equal inputs in every process.
            is_positive: Draw random inputs from [0.5, 1.5) (for programs that take roots or logarithms).
        """
        generator = np.random.default_rng([seed, INPUT_SETS.index(name)])
        for spec, buffer in self.inputs:
            buffer.array[...] = input_values(name, spec, generator, is_positive)

    def poison_outputs(self) -> None:
        """Poison every output."""
        for _, buffer in self.outputs:
            buffer.poison()

    def broken_guards(self) -> list[str]:
        """Name the arguments with writes just outside of them."""
        return [spec.name for spec, b in zip(self.specs, self.buffers, strict=True) if not b.guards_hold()]


def input_values(
    name: str, spec: BufferSpec, generator: np.random.Generator, is_positive: bool
) -> NDArray[Any]:
    """Draw the values of one input.

    ``random`` is uniform in [-1, 1); ``integers`` are whole numbers from -3 to 3, so that sums of
    products are exact in any order; ``extremes`` are log-uniform over 24 binary orders of magnitude
    (8 for 16-bit and narrower floats) around 1 with either sign: far apart, yet no product of two of them
    and no sum of a million such products overflows; ``zeros`` are zero. Integer inputs of 32 bits and
    more are 0 or 1, because they may be indices. Narrower ones are drawn from all 8-bit numbers, or on
    ``extremes`` from the ends of their range: what takes one sign for the other, or keeps sums of two
    products in 16 bits (``vpmaddubsw`` saturates), is found out, and 65,000 products still fit 32 bits.

    Args:
        name: One of :data:`INPUT_SETS`.
        spec: The argument.
        generator: Source of randomness.
        is_positive: Whether floating-point values must be positive.
    """
    dtype = numpy_dtype(spec.dtype)
    if name == "zeros":
        return np.full(spec.shape, 1 if is_positive else 0, dtype)
    if not is_floating(spec.dtype):
        if dtype.itemsize >= 4 or dtype.kind == "b":
            return generator.integers(0, 2, spec.shape).astype(dtype)
        return _narrow_integers(name, dtype.kind == "u", spec.shape, generator).astype(dtype)
    if name == "integers":
        return generator.integers(1 if is_positive else -3, 4, spec.shape).astype(dtype)
    if name == "extremes":
        reach = 12.0 if element_bytes(spec.dtype) >= 4 else 4.0
        values = np.exp2(generator.uniform(-reach, reach, spec.shape))
        return (values if is_positive else values * generator.choice((-1.0, 1.0), spec.shape)).astype(dtype)
    values32 = generator.random(spec.shape, dtype=np.float32)
    return (values32 + np.float32(0.5) if is_positive else values32 * 2 - 1).astype(dtype, copy=False)


def _narrow_integers(
    name: str, is_unsigned: bool, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.int64]:
    low, high = (0, 255) if is_unsigned else (-128, 127)
    if name == "integers":
        return generator.integers(max(low, -3), 4, shape)
    if name == "extremes":
        return generator.choice(np.array([low, high]), shape)
    return generator.integers(low, high + 1, shape)


def is_floating(dtype: str) -> bool:
    """Report whether a TVM type is a floating-point one."""
    return dtype.startswith(("float", "bfloat"))


def element_bytes(dtype: str) -> int:
    """Return the bytes of one element of a TVM type."""
    return int(numpy_dtype(dtype).itemsize)


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """Return NumPy's type for a TVM type name.

    Raises:
        ValueError: If there is none.
    """
    if dtype == "bool":
        return np.dtype(np.bool_)
    try:
        return np.dtype(dtype)
    except TypeError:
        pass
    import ml_dtypes

    extended = getattr(ml_dtypes, dtype, None)
    if extended is None:
        raise ValueError(f"dtype {dtype!r} cannot be measured: NumPy has no such type")
    found: np.dtype[Any] = np.dtype(extended)
    return found
