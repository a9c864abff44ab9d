"""Where this machine has NVIDIA's compiler: packages of the extra ``cuda``, or an installed toolkit."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from search_space.cuda_runtime import PACKAGE_FOLDER
from tuner.errors import JobFailed

NVRTC = "libnvrtc.so.13"
DRIVER = "libcuda.so.1"

REMEDY = "install the extra with pip install 'tirtune[cuda]', or put nvcc of a CUDA 13 toolkit in PATH"


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A compiler for CUDA source.

    Attributes:
        nvrtc: The compiler as a library, absent where only ``nvcc`` was found.
        nvcc: The compiler as a program, absent where the library was found.
        includes: Folders with CUDA's headers.
    """

    nvrtc: Path | None
    nvcc: Path | None
    includes: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Which compiler it is and where, for people."""
        return str(self.nvrtc or self.nvcc)


@cache
def find_toolkit() -> Toolkit:
    """Find a compiler: the library before the program, because it starts no processes.

    A folder that ``CUDA_PATH`` or ``CUDA_HOME`` names comes first, then the packages of the extra
    ``cuda``, then ``/usr/local/cuda``.

    Raises:
        JobFailed: If there is none, with what to install.
    """
    roots = [root for root in _roots() if root.is_dir()]
    includes = tuple(
        folder
        for root in roots
        if (folder := root / "include").is_dir() and (folder / "cuda_fp16.h").exists()
    )
    for root in roots:
        for library in (root / "lib" / NVRTC, root / "lib64" / NVRTC):
            if library.exists():
                return Toolkit(library, None, includes)
    for program in (*(str(root / "bin" / "nvcc") for root in roots), "nvcc"):
        found = shutil.which(program)
        if found is not None:
            return Toolkit(None, Path(found), includes)
    raise JobFailed(f"no CUDA compiler was found: {REMEDY}")


def has_driver() -> bool:
    """Report whether a driver is installed; says nothing of a device."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def _roots() -> Iterator[Path]:
    for name in ("CUDA_PATH", "CUDA_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    for folder in sys.path:
        yield Path(folder or ".") / PACKAGE_FOLDER
    yield Path("/usr/local/cuda")
