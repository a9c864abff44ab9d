"""The machine that the records of a run name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from records.environment import capture_environment
from records.schema import Environment
from search_space.hardware import device_name
from search_space.tvm_api import tvm
from tuner.measure.rpc.address import RpcAddress


def machine_of(measure: str, threads: int, target: Any) -> Environment:
    """Return where candidates run: of remote devices only the key is known, of a log only its name.

    Args:
        measure: ``TuneOptions.measure``.
        threads: Threads of the kernels.
        target: The resolved TVM target.
    """
    llvm = str(tvm.target.codegen.llvm_version_major())
    here = capture_environment(threads, llvm=llvm, gpu=device_name(target))
    if measure.startswith("replay:"):
        return msgspec.structs.replace(here, cpu=f"replay of {Path(measure).name}"[:200])
    if measure.startswith("rpc://"):
        return msgspec.structs.replace(here, cpu=f"remote device {RpcAddress.parse(measure).key}")
    return here
