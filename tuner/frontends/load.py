"""Decides which frontend reads a workload text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import UserError
from tuner.frontends.program import Operators, Program
from tuner.frontends.python_file import from_python_file
from tuner.workloads import OPERATORS, is_named, named_workload

if TYPE_CHECKING:
    from tuner.tasks import Task

FORMS = "a model file (.onnx, .pt2), an operator such as gmm:1,512,512,512, or file.py:function"


def load(spec: str, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Program:
    """Read what a command-line word names.

    Args:
        spec: A named operator, a model file or ``file.py:function``.
        input_shapes: Shapes for the inputs that an ONNX file leaves open.

    Returns:
        A model or operators.

    Raises:
        UserError: If the text or what it names is not usable.
    """
    if is_named(spec):
        return Operators(spec, (named_workload(spec),))
    suffix = Path(spec).suffix.lower()
    if suffix == ".onnx":
        from tuner.frontends.onnx_file import from_onnx

        return from_onnx(spec, input_shapes)
    if suffix == ".pt2":
        from tuner.frontends.torch_export import from_torch

        return from_torch(spec)
    if suffix == ".py" or ".py:" in spec:
        return from_python_file(spec if ".py:" in spec else spec + ":")
    if _is_file(spec):
        from tuner.frontends.onnx_file import from_onnx

        return from_onnx(spec, input_shapes)
    raise UserError(f"unknown workload {spec!r}: give {FORMS}; operators are {', '.join(OPERATORS)}")


def _is_file(spec: str) -> bool:
    try:
        return Path(spec).is_file()
    except OSError:  # too long for a name
        return False


def parse(spec: str, input_shapes: Mapping[str, Sequence[int]] | None = None) -> list[Task]:
    """Read a workload text and list what there is to tune in it.

    Args:
        spec: As for :func:`load`.
        input_shapes: As for :func:`load`.

    Returns:
        The tasks, equal workloads joined.

    Raises:
        UserError: As for :func:`load`.
    """
    from tuner.extract import tasks_of

    return tasks_of(load(spec, input_shapes))
