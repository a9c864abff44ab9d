"""NumPy files in and out of a compiled model."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import UserError
from tuner.frontends.files import require_file
from tuner.tensor_spec import TensorSpec


def read_arrays(path: str, inputs: Sequence[TensorSpec]) -> list[NDArray[Any]]:
    """Read the inputs of a model.

    Args:
        path: An ``.npz`` whose names are the inputs' (or ``arr_0``, ``arr_1`` ... in order), or the
            ``.npy`` of the only input.
        inputs: What the model takes.

    Returns:
        One array per input, in order.

    Raises:
        UserError: If the file cannot be read or lacks an input.
    """
    file = Path(path)
    require_file(file)
    try:
        loaded = np.load(file, allow_pickle=False)
        arrays = {"arr_0": loaded} if isinstance(loaded, np.ndarray) else {n: loaded[n] for n in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no NumPy arrays: {error}; write one with numpy.savez") from error
    names = [tensor.name for tensor in inputs]
    if not set(names) <= set(arrays):
        positions = [f"arr_{i}" for i in range(len(inputs))]
        if set(arrays) != set(positions):
            raise UserError(
                f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}, the model takes {', '.join(names)}: "
                "use these names in numpy.savez"
            )
        names = positions
    return [arrays[name] for name in names]


def write_arrays(path: str, outputs: Sequence[TensorSpec], values: Sequence[NDArray[Any]]) -> None:
    """Write the outputs of a model as ``.npz``.

    Raises:
        UserError: If the file cannot be written.
    """
    try:
        with Path(path).open("wb") as file:
            named = {tensor.name: value for tensor, value in zip(outputs, values, strict=True)}
            np.savez(file, allow_pickle=False, **named)
    except OSError as error:
        raise UserError(f"cannot write outputs {path!r}: {error.strerror or error}") from error
