"""MetaSchedule on a whole model: tuned for some minutes, compiled with what its database then holds.

``python -m scripts.bench.whole.metaschedule MODEL.onnx --folder F --threads 2`` tunes until it is ended;
with ``--compile OUT.so`` it compiles.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.contestant import ROOT, environment
from scripts.bench.sides.base import NoKernel, Variant
from scripts.bench.whole.sides import Feeds

_ENDLESS = 1_000_000
"""Trials that no time suffices for: the time ends the run."""
_COMPILE_SECONDS = 1200.0


def tune_and_compile(
    model: Path, folder: Path, minutes: float, threads: int, reuse: bool
) -> tuple[Path, dict[str, Any]]:
    """Tune for a time and compile.

    Args:
        model: The ONNX file.
        folder: Where the database and the library go.
        minutes: Wall time of tuning.
        threads: Threads of the kernels.
        reuse: Take a database that is there.

    Returns:
        The library and what is to be reported.

    Raises:
        NoKernel: If it does not compile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "database_tuning_record.json"
    words = [sys.executable, "-m", "scripts.bench.whole.metaschedule", str(model)]
    words += ["--folder", str(folder), "--threads", str(threads)]
    library = folder / "model.so"
    began = time.monotonic()
    with (folder / "messages.txt").open("ab") as messages:
        if not (reuse and database.exists()):
            process = subprocess.Popen(
                words,
                cwd=ROOT,
                env=environment(threads),
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )
            try:
                process.wait(minutes * 60.0)
            except subprocess.TimeoutExpired:
                pass  # the time is its budget
            finally:
                with suppress(ProcessLookupError):  # it may have ended early
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        tuned = time.monotonic()
        done = subprocess.run(
            [*words, "--compile", str(library)],
            cwd=ROOT,
            env=environment(threads),
            stdout=messages,
            stderr=messages,
            check=False,
            timeout=_COMPILE_SECONDS,
        )
    if done.returncode or not library.exists():
        raise NoKernel(f"it did not compile: see {folder / 'messages.txt'}")
    trials = len(database.read_text().splitlines()) if database.exists() else 0
    return library, {
        "tuning_seconds": tuned - began,
        "compile_seconds": time.monotonic() - tuned,
        "records": trials,
    }


def load(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Variant]:
    """Load the library of ``options["library"]``."""
    from search_space.tvm_api import tvm

    executable = tvm.runtime.load_module(options["library"])
    machine = tvm.relax.VirtualMachine(executable, tvm.cpu())
    tensors = [tvm.runtime.tensor(array) for array in feeds.values()]
    main = machine["main"]

    def output() -> Any:
        result = main(*tensors)
        return np.array((result if hasattr(result, "numpy") else result[0]).numpy())

    return [Variant("tuned", partial(main, *tensors), output)]


def _module(path: Path) -> Any:
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    from search_space.tvm_api import tvm

    relax = tvm.relax
    module = from_onnx(onnx.load(str(path)), keep_params_in_input=False)
    return tvm.ir.transform.Sequential(
        [
            relax.transform.DecomposeOpsForInference(),
            relax.transform.CanonicalizeBindings(),
            relax.get_pipeline("zero"),
            relax.transform.AttachAttrLayoutFreeBuffers(),
        ]
    )(module)


def _tune(path: Path, folder: Path, threads: int) -> None:
    from search_space.hardware import resolve_target
    from search_space.tvm_api import tvm

    target = resolve_target(None, threads)
    with target, tvm.transform.PassContext(opt_level=3):
        tvm.relax.transform.MetaScheduleTuneIRMod(
            params={}, work_dir=str(folder), max_trials_global=_ENDLESS, max_trials_per_task=_ENDLESS
        )(_module(path))


def _compile(path: Path, folder: Path, threads: int, out: Path) -> None:
    from search_space.hardware import resolve_target
    from search_space.tvm_api import tvm

    relax = tvm.relax
    target = resolve_target(None, threads)
    module = _module(path)
    with target, tvm.transform.PassContext(opt_level=3):
        if (folder / "database_tuning_record.json").exists():
            module = relax.transform.MetaScheduleApplyDatabase(str(folder))(module)
        # The weights are constants: their new layouts are computed now.
        module = relax.transform.FoldConstant()(relax.transform.SplitLayoutRewritePreproc()(module))
    tvm.compile(module, target).export_library(str(out))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", type=Path)
    arguments = parser.parse_args()
    if arguments.compile is not None:
        _compile(arguments.model, arguments.folder, arguments.threads, arguments.compile)
    else:
        _tune(arguments.model, arguments.folder, arguments.threads)


if __name__ == "__main__":
    main()
