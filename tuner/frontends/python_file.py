"""Loads ``file.py:function``, a user's own PrimFunc, IRModule or Relax module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search_space.error_text import described
from search_space.tvm_api import IRModule, PrimFunc
from search_space.user_files import FileRefused, run_file
from search_space.workload import workload_of
from tuner.errors import UserError
from tuner.frontends.files import require_file
from tuner.frontends.program import Operators, Program
from tuner.frontends.relax_module import from_relax, has_relax


def from_python_file(spec: str) -> Program:
    """Call a function of a Python file and take what it returns.

    Args:
        spec: ``path/to/file.py:function``; the function takes no arguments. The name of a module-level
            PrimFunc or IRModule does as well.

    Returns:
        A model if the IRModule has a Relax ``main``, else the PrimFuncs as operators.

    Raises:
        UserError: If the file, the name or the returned object is not usable.
    """
    path_text, _, name = spec.rpartition(":")
    path = Path(path_text)
    require_file(path, " (a workload is FILE.py:FUNCTION)")
    if not name:
        raise UserError(f"{spec!r} names no function: write {path_text}:FUNCTION")
    try:
        namespace = vars(run_file(path))
    except FileRefused as error:
        raise UserError(str(error)) from error
    if name not in namespace:
        callables = sorted(k for k, v in namespace.items() if callable(v) and not k.startswith("_"))
        raise UserError(
            f"{path_text} defines no {name!r}: it defines {', '.join(callables) or 'no functions'}"
        )
    value = namespace[name]
    if callable(value) and not isinstance(value, (PrimFunc, IRModule)):
        try:
            value = value()
        except (Exception, SystemExit) as error:
            raise UserError(f"{spec}: the function raised {described(error)}") from error
    return from_object(value, spec)


def from_object(value: Any, name: str) -> Program:
    """Take a PrimFunc or an IRModule.

    Args:
        value: What the user handed over.
        name: Readable name for messages and records.

    Returns:
        A model if there is a Relax ``main``, else operators.

    Raises:
        UserError: If it is something else or is not static TensorIR.
    """
    if isinstance(value, PrimFunc):
        functions = {name: value}
    elif isinstance(value, IRModule):
        if has_relax(value):
            return from_relax(value, name)
        symbols = {var.name_hint: func for var, func in value.functions.items() if isinstance(func, PrimFunc)}
        lone = len(symbols) == 1
        functions = {name if lone else f"{name}/{symbol}": func for symbol, func in sorted(symbols.items())}
    else:
        raise UserError(f"{name} is a {type(value).__name__}: a PrimFunc or an IRModule is needed")
    if not functions:
        raise UserError(f"{name} is an IRModule without functions")
    try:
        return Operators(name, tuple(workload_of(func, label) for label, func in functions.items()))
    except ValueError as error:
        raise UserError(str(error)) from error
