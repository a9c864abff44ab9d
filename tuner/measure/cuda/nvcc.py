"""``nvcc``, NVIDIA's compiler as a program, for machines that have a toolkit but not its library."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tuner.measure.cuda.nvrtc import CompileError, first_error


def compile_source(program: Path, source: str, arch: str, options: Sequence[str]) -> tuple[bytes, str]:
    """Compile CUDA source to a cubin.

    Args:
        program: The compiler driver; it finds its own headers.
        source: CUDA C++.
        arch: The architecture, such as ``sm_90``.
        options: Further options of the compiler.

    Returns:
        The machine code, and what compiler and assembler reported.

    Raises:
        CompileError: With the first error.
    """
    with tempfile.TemporaryDirectory(prefix="tirtune-nvcc-") as folder:
        text, code = Path(folder) / "kernel.cu", Path(folder) / "kernel.cubin"
        text.write_text(source)
        virtual = arch.replace("sm_", "compute_")
        command = [str(program), "--cubin", f"-gencode=arch={virtual},code={arch}", *options]
        done = subprocess.run(
            [*command, "-o", str(code), str(text)], capture_output=True, text=True, errors="replace"
        )
        log = done.stdout + done.stderr
        if done.returncode != 0:
            raise CompileError(first_error(log) or f"nvcc ended with status {done.returncode}")
        return code.read_bytes(), log
