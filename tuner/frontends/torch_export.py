"""Imports torch.export programs; needs the ``torch`` extra, which is imported only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from search_space.error_text import first_line
from search_space.tvm_api import tvm
from tuner.errors import UserError
from tuner.frontends.files import require_file
from tuner.frontends.program import Model
from tuner.frontends.relax_module import from_relax
from tuner.units import counted


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
    except ImportError as error:
        raise UserError(f"torch programs need PyTorch ({error}): install tirtune[torch]") from error
    label = str(source) if isinstance(source, (str, Path)) else name or "the exported program"
    if isinstance(source, (str, Path)):
        path = Path(source)
        require_file(path)
        if not is_zipfile(path):  # torch would say so on standard error, at length
            raise UserError(f"{label} is not a torch.export program: it is no ZIP archive")
        try:
            program = torch.export.load(str(path))
        except Exception as error:
            raise UserError(f"{label} is not a torch.export program: {first_line(error)}") from error
        name = name or path.stem
    else:
        program = source
    try:
        module = _importer().from_exported_program(program.run_decompositions(), False, False, False, None)
    except _NodeError as error:
        raise UserError(f"{label}: {error}") from error
    except (AssertionError, ValueError, NotImplementedError, tvm.error.TVMError) as error:
        raise UserError(f"{label} cannot be imported: {first_line(error)}") from error
    return from_relax(module, name or "model")


def is_exported(value: Any) -> bool:
    """Report whether a value is a ``torch.export.ExportedProgram``, without importing torch."""
    return any(f"{c.__module__}.{c.__name__}" == _EXPORTED for c in type(value).__mro__)


_EXPORTED = "torch.export.exported_program.ExportedProgram"


class _NodeError(Exception):
    """A node that could not be converted."""


def _importer() -> Any:
    """Make TVM's importer, saying which node failed."""
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

    class Importer(ExportedProgramImporter):  # type: ignore[misc]
        def create_convert_map(self) -> dict[str, Any]:
            return {name: named(convert) for name, convert in super().create_convert_map().items()}

        def _check_unsupported_func_type(self, nodes: list[Any]) -> None:
            calls = [node for node in nodes if node.op == "call_function"]
            unknown = [node for node in calls if node.target.__name__ not in self.convert_map]
            if unknown:
                more = f" (and {counted(len(unknown) - 1, 'more node')})" if len(unknown) > 1 else ""
                raise _NodeError(f"{_node_words(unknown[0])} is unsupported{more}")

    def named(convert: Any) -> Any:
        def converted(node: Any) -> Any:
            try:
                return convert(node)
            except _NodeError:
                raise
            except Exception as error:
                raise _NodeError(f"{_node_words(node)} cannot be imported: {first_line(error)}") from error

        return converted

    return Importer()


def _node_words(node: Any) -> str:
    shapes = [
        "x".join(map(str, tuple(value.shape))) or "scalar"
        for argument in node.all_input_nodes
        if hasattr(value := argument.meta.get("val"), "shape")
    ]
    return f"operator {node.target} of node {node.name!r} with input shapes {' '.join(shapes) or '-'}"
