"""CUDA's runtime library, which TVM's own needs: it may lie in a package, outside the loader's path."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

RUNTIME = "libcudart.so.13"
"""What TVM 0.27 is linked with."""

PACKAGE_FOLDER = Path("nvidia") / "cu13"
"""Where the packages of CUDA 13 put their files, below a folder of Python's path."""


def load_cuda_runtime() -> bool:
    """Load the library, so that TVM finds it when it is imported afterwards.

    The loader's path comes first, then the package ``nvidia-cuda-runtime``.

    Returns:
        Whether it is loaded.
    """
    packages = (Path(folder or ".") / PACKAGE_FOLDER / "lib" / RUNTIME for folder in sys.path)
    for place in (RUNTIME, *(str(path) for path in packages if path.exists())):
        try:
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False
