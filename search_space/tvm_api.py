"""The one place that names the parts of TVM which move between versions.

Everything here is a thin re-export or a one-line adapter; no tuning logic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

from search_space.cuda_runtime import load_cuda_runtime

REQUIRED_PAIR = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"}
"""Other pairs crash in structural hashing (a segfault, not an exception)."""


def check_pinned_pair(installed: dict[str, str] | None = None) -> None:
    """Refuse to run on a TVM pair that is known to crash the process.

    Args:
        installed: Distribution name to version; read from the environment when absent.

    Raises:
        ImportError: If either distribution is missing or has another version.
    """
    if installed is None:
        installed = {}
        for name in REQUIRED_PAIR:
            try:
                installed[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                installed[name] = "not installed"
    for name, wanted in REQUIRED_PAIR.items():
        if installed.get(name) != wanted:
            raise ImportError(
                f"tirtune needs {name}=={wanted}, found {installed.get(name)}: "
                f"install both with pip install " + " ".join(f"{n}=={v}" for n, v in REQUIRED_PAIR.items())
            )


check_pinned_pair()
load_cuda_runtime()

# tvm_ffi imports torch where it is installed: two seconds and half a gigabyte that nothing here needs.
# A program that uses torch itself imports it before or after, as it likes.
_hide_torch = "torch" not in sys.modules
if _hide_torch:
    sys.modules["torch"] = None  # type: ignore[assignment]

import tvm  # noqa: E402
import tvm_ffi  # noqa: E402
from tvm import IRModule, te, tirx  # noqa: E402
from tvm.s_tir import Schedule, ScheduleError, Trace  # noqa: E402
from tvm.tirx import PrimFunc  # noqa: E402

if _hide_torch:
    del sys.modules["torch"]

__all__ = [
    "IRModule",
    "PrimFunc",
    "Schedule",
    "ScheduleError",
    "Trace",
    "block_realize",
    "check_pinned_pair",
    "estimate_flops",
    "load_json",
    "parse_script",
    "save_json",
    "structural_equal",
    "structural_key",
    "te",
    "tirx",
    "trust_schedule_calls",
    "tvm",
    "tvm_ffi",
    "walk",
    "walk_types",
]


def structural_key(func: PrimFunc) -> str:
    """Return the structural hash of a function as 16 hexadecimal digits; names do not matter."""
    return f"{tvm_ffi.structural_hash(func) & (2**64 - 1):016x}"


def structural_equal(left: Any, right: Any) -> bool:
    """Report whether two IR objects are equal up to names."""
    return bool(tvm_ffi.structural_equal(left, right))


def save_json(node: Any) -> str:
    """Serialise an IR object to JSON text."""
    return str(tvm.ir.save_json(node))


def walk(root: Any, callback: Callable[[Any], None]) -> None:
    """Call ``callback`` on every IR node below ``root``, children first."""
    tvm_ffi.structural_walk(root, lambda node: callback(node))


def walk_types(root: Any, callbacks: list[tuple[Any, Callable[[Any], None]]]) -> None:
    """Call the callback of the first matching type on the IR nodes below ``root``, children first.

    Much faster than :func:`walk` where only a few types matter: other nodes never reach Python.
    """
    tvm_ffi.structural_walk(root, callbacks)


def trust_schedule_calls() -> None:
    """Let calls of schedule primitives in this process skip TVM's check of every argument's Python type.

    Those take a quarter of the time in which a candidate is scheduled; primitives refuse what is wrong.
    """
    for name, method in list(vars(Schedule).items()):
        unchecked = getattr(method, "__wrapped__", None)
        if unchecked is not None:
            setattr(Schedule, name, unchecked)


def estimate_flops(module: Any) -> float:
    """Count the floating-point operations of a module as TVM's own analysis does."""
    return float(tvm.s_tir.analysis.estimate_tir_flops(module))


def block_realize(sch: Any, block: Any) -> Any:
    """Return the realisation (bindings and predicate) of a block of a schedule."""
    return tvm.get_global_func("s_tir.schedule.GetSBlockRealize")(sch, block)


def load_json(text: str) -> Any:
    """Read an IR object back from :func:`save_json`."""
    return tvm.ir.load_json(text)


def parse_script(text: str, **names: Any) -> Any:
    """Read a PrimFunc that is written as TVMScript, its language being named ``T``.

    Args:
        text: The function.
        names: Values that the text uses: numbers, strings, and functions within ``T.meta_var(...)``.
    """
    return tvm.script.from_source(text, {"T": tvm.script.tirx, **names})
