"""An emulated GPU: CUDA's libraries for the CPU, so that tests run kernels without a device.

The three libraries that TVM and tirtune load are built here with g++ under their own names: the compiler
turns CUDA source into a shared library, the driver runs the threads of a block as fibers (barriers and
shuffles included), the runtime's memory is memory. Of inline PTX it knows the instructions of
``ptx.h`` (asynchronous copies, ``ldmatrix``, ``mma``), of CUDA's headers half, bfloat16 and wmma. Like on a
device an illegal address breaks everything that the process does afterwards.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
_LIBRARIES = {"driver": "libcuda.so.1", "runtime": "libcudart.so.13", "nvrtc": "libnvrtc.so.13"}


def build_emulator(folder: Path) -> Path:
    """Build the libraries.

    Args:
        folder: An empty folder; it becomes what ``CUDA_PATH`` names.

    Returns:
        The folder of the libraries, for ``LD_LIBRARY_PATH``.
    """
    libraries = folder / "lib"
    libraries.mkdir(parents=True)
    versions = folder / "versions"
    versions.write_text("libcudart.so.13 { global: *; };\n")
    for source, name in _LIBRARIES.items():
        command = ["g++", "-std=c++17", "-O2", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", f"-Wl,-soname,{name}"]
        command += [f'-DEMULATOR_HEADER="{_HERE / "kernel.h"}"', f'-DEMULATOR_FOLDER="{libraries}"']
        if source == "runtime":
            command += [f"-Wl,--version-script={versions}", f"-L{libraries}"]
        command += ["-o", str(libraries / name), str(_HERE / f"{source}.cc")]
        command += ["-l:libcuda.so.1"] if source == "runtime" else []
        subprocess.run(command, check=True, capture_output=True, text=True)
    return libraries
