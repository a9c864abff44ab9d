"""Runs Python files that users hand over: workloads and sketch rules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from search_space.error_text import described


class FileRefused(ValueError):
    """A user's file cannot be run; the message is one line."""


def run_file(path: Path) -> ModuleType:
    """Import a user's file; modules beside it are found too, after all others.

    Args:
        path: A Python file.

    Returns:
        The module.

    Raises:
        FileRefused: If it is no Python file, or running it ends with an exception.
    """
    name = f"tirtune_user_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise FileRefused(f"{path} is not a Python file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise FileRefused(f"{path}: importing it raised {described(error)}") from error
    return module
