"""Imports torch.export programs; needs the ``torch`` extra, which is imported only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search_space.tvm_api import tvm
from tuner.errors import UserError
from tuner.frontends.program import Model
from tuner.frontends.relax_module import from_relax


def from_torch(source: str | Path | Any, name: str | None = None) -> Model:
    """Import a ``.pt2`` file or a ``torch.export.ExportedProgram``.

    Args:
        source: Path of the file, or the program itself.
        name: Readable name; the file's stem when absent.

    Returns:
        The model, its parameters bound as constants.

    Raises:
        UserError: If torch is missing, the file is no exported program or an operator is unsupported.
    """
    try:
        import torch
        from tvm.relax.frontend.torch import from_exported_program
    except ImportError as error:
        raise UserError(f"torch programs need PyTorch ({error}): install tirtune[torch]") from error
    label = str(source) if isinstance(source, (str, Path)) else name or "the exported program"
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.is_file():
            raise UserError(f"cannot read {label!r}: no such file")
        try:
            program = torch.export.load(str(path))
        except Exception as error:
            raise UserError(f"{label} is not a torch.export program: {_first_line(error)}") from error
        name = name or path.stem
    else:
        program = source
    try:
        module = from_exported_program(program, keep_params_as_input=False)
    except (AssertionError, ValueError, NotImplementedError, tvm.error.TVMError) as error:
        raise UserError(f"{label} cannot be imported: {_first_line(error)}") from error
    return from_relax(module, name or "model")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
