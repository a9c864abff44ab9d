"""The file of a compiled model: a shared library, its weights, its description.

The dynamic linker ignores what follows a library's last section. Behind it stand the weights, each on
a multiple of 64 bytes, the description as JSON in UTF-8, its length as 8 bytes little-endian, and 8 bytes
magic. So the description can be read, and a wrong CPU refused, before any code of the file is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import UserError

MAGIC = b"TIRTUNE1"
ALIGNMENT_BYTES = 64
"""Kernels load vectors as if every buffer started on a cache line (TVM's kAllocAlignment)."""

_TAIL_BYTES = 8 + len(MAGIC)


def check_place(path: Path) -> None:
    """Refuse a place where no compiled model can be written, before anything is compiled.

    Raises:
        UserError: If it has no name, is no plain file, or its folder does not exist or may not be written.
    """
    if not path.name or path.is_dir():
        raise UserError(f"cannot write {str(path)!r}: it is a folder; name a file such as model.so")
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise UserError(f"cannot write {str(path)!r}: it is no plain file; name a file such as model.so")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {str(path)!r}: the folder {str(path.parent)!r} does not exist")
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write {str(path)!r}: {error.strerror}; name a file in a folder that may be written"
        ) from error


def append(path: Path, weights: Sequence[NDArray[Any]], description: dict[str, Any]) -> None:
    """Complete a shared library to a compiled model.

    Args:
        path: The library.
        weights: Arrays in the order in which ``main`` takes them.
        description: JSON-able values.
    """
    with path.open("r+b") as file:
        start = _aligned(file.seek(0, 2))
        entries: list[dict[str, Any]] = []
        at = start
        for array in weights:
            file.seek(at)
            file.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
            entries.append({"offset": at - start, "shape": list(array.shape), "dtype": str(array.dtype)})
            at = _aligned(at + array.nbytes)
        file.seek(at)
        blob = {"start": start, "bytes": at - start, "arrays": entries}
        payload = json.dumps({"weights": blob, "description": description}, sort_keys=True).encode()
        file.write(payload + len(payload).to_bytes(8, "little") + MAGIC)


def read(path: Path) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Read description and weights of a compiled model.

    Args:
        path: A file that :func:`append` completed.

    Returns:
        The description, and the weights on 64-byte boundaries of one buffer.

    Raises:
        UserError: If the file cannot be read, is no compiled model, or is damaged.
    """
    try:
        values = _tail(path)
        blob = values["weights"]
        start, count = int(blob["start"]), int(blob["bytes"])
        if not 0 <= start <= start + count <= path.stat().st_size:
            raise UserError(f"{path} is damaged: its weights lie outside the file; compile it again")
        buffer = np.empty(count + ALIGNMENT_BYTES, np.uint8)
        first = -buffer.ctypes.data % ALIGNMENT_BYTES
        with path.open("rb") as file:
            file.seek(start)
            file.readinto(buffer[first : first + count].data)
        arrays = []
        for entry in blob["arrays"]:
            dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
            begin = first + int(entry["offset"])
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            arrays.append(buffer[begin : begin + size].view(dtype).reshape(shape))
        description = values["description"]
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged: its description is unusable ({error}); compile it again"
        ) from error
    if not isinstance(description, dict):
        raise UserError(f"{path} is damaged: its description is not an object; compile it again")
    return description, arrays


def _tail(path: Path) -> Any:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        if len(tail) != _TAIL_BYTES or tail[8:] != MAGIC:
            raise UserError(f"{path} is not a compiled model: write one with tirtune compile MODEL -o FILE")
        length = int.from_bytes(tail[:8], "little")
        if length > size - _TAIL_BYTES:
            raise UserError(f"{path} is damaged: its description is longer than the file; compile it again")
        file.seek(size - _TAIL_BYTES - length)
        return json.loads(file.read(length))


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
