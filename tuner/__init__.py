"""tirtune: tune tensor programs, keep the measurements, compile with them.

Names are loaded when they are first used, so that ``tuner.load`` brings in none of the search.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.api import compile, tune
    from tuner.compiled_model import CompiledModel, load
    from tuner.errors import JobFailed, UserError
    from tuner.options import TuneOptions
    from tuner.result import TuneResult

_HOMES = {
    "tune": "tuner.api",
    "compile": "tuner.api",
    "load": "tuner.compiled_model",
    "CompiledModel": "tuner.compiled_model",
    "TuneOptions": "tuner.options",
    "TuneResult": "tuner.session",
    "UserError": "tuner.errors",
    "JobFailed": "tuner.errors",
}

__all__ = [
    "CompiledModel",
    "JobFailed",
    "TuneOptions",
    "TuneResult",
    "UserError",
    "compile",
    "load",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module tuner has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
