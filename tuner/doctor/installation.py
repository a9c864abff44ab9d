"""What is installed: Python, the compiler's pinned pair, libraries, a linker."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

from tuner.doctor.check import Check

REQUIRED = (
    "numpy",
    "click",
    "rich",
    "msgspec",
    "onnx",
    "psutil",
    "scikit-learn",
    "xgboost-cpu",
    "matplotlib",
)
OPTIONAL = {
    "torch": "tirtune[torch] (.pt2 models, bench --against torch)",
    "onnxruntime": "tirtune[bench] (bench --against onnxruntime)",
    "openvino": "tirtune[bench] (bench --against openvino)",
    "sqlalchemy": "tirtune[store] (records in databases)",
    "psycopg": "tirtune[store] (records in PostgreSQL)",
    "pyarrow": "pyarrow (records export as Parquet)",
}


def installation_checks() -> Iterator[Check]:
    """Look at versions and tools; loads nothing."""
    version = platform.python_version()
    fine = sys.version_info >= (3, 11)
    yield Check("Python", "ok" if fine else "bad", version, "" if fine else "use 3.11 or newer", version)
    found = {name: _version(name) for name in REQUIRED}
    missing = [name for name, version in found.items() if version is None]
    yield Check(
        "libraries",
        "bad" if missing else "ok",
        ", ".join(f"{name} {version or 'missing'}" for name, version in found.items()),
        f"pip install {' '.join(missing)}" if missing else "",
        found,
    )
    extras = {name: _version(name) for name in OPTIONAL}
    present = ", ".join(f"{name} {version}" for name, version in extras.items() if version)
    absent = [OPTIONAL[name] for name, version in extras.items() if version is None]
    yield Check(
        "optional libraries",
        "ok",
        present or "none",
        f"to get more: {'; '.join(absent)}" if absent else "",
        extras,
    )
    compiler = next((path for path in map(shutil.which, ("g++", "c++", "clang++")) if path), None)
    yield Check(
        "linker",
        "ok" if compiler else "note",
        compiler or "no C++ compiler",
        "" if compiler else "tirtune compile -o needs one to link (apt install g++); tuning does not",
        compiler,
    )


def compiler_check() -> Check:
    """Load TVM and look at the pair of distributions; other pairs crash in structural hashing."""
    try:
        from search_space.tvm_api import REQUIRED_PAIR, tvm
    except ImportError as error:
        return Check("TVM", "bad", str(error).splitlines()[0], "install the pinned pair", None)
    llvm = int(tvm.target.codegen.llvm_version_major())
    pair = ", ".join(f"{name} {version}" for name, version in REQUIRED_PAIR.items())
    return Check("TVM", "ok", f"{pair}, LLVM {llvm}", "", {**REQUIRED_PAIR, "llvm": llvm})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
