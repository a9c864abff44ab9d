"""The whole examination."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from records.errors import RecordError
from records.opening import open_store
from tuner.doctor.check import Check
from tuner.doctor.installation import compiler_check, installation_checks
from tuner.doctor.machine import machine_checks
from tuner.errors import TirtuneError
from tuner.units import bytes_text, counted, rate


def examine(target: str | None, threads: int | None, log: str | None, speed: bool) -> Iterator[Check]:
    """Look at everything that a tuning run depends on.

    Args:
        target: Target text; this machine when absent.
        threads: Thread count; every CPU when absent.
        log: A log that is to be written, or None for one in the current folder.
        speed: Whether to measure the peak rate (a second or two).

    Yields:
        The answers, quick ones first.
    """
    yield from installation_checks()
    yield from machine_checks(threads)
    yield log_check(log)
    compiler = compiler_check()
    yield compiler
    if compiler.state == "ok":
        yield from _target_checks(target, threads, speed)


def log_check(log: str | None) -> Check:
    """Try whether a log can be written; a missing one is not made."""
    if log is None or not ("://" in log or Path(log).exists()):
        folder = Path(log or "x").absolute().parent
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x" * 4096)
                file.flush()
        except OSError as error:
            remedy = "name another --log or make the folder"
            return Check("log", "bad", f"cannot write to {folder}: {error.strerror}", remedy, str(folder))
        return Check("log", "ok", f"{folder} can be written", "", str(folder))
    try:
        with closing(open_store(log, create=False)) as store:
            view = store.view()
    except RecordError as error:
        return Check("log", "bad", str(error), "", log)
    problems = len(view.problems)
    return Check(
        "log",
        "note" if problems else "ok",
        f"{log}: {counted(len(view.summaries), 'record')}, {counted(problems, 'problem')}",
        f"tirtune records verify {log}" if problems else "",
        log,
    )


def _target_checks(target: str | None, threads: int | None, speed: bool) -> Iterator[Check]:
    from search_space.hardware import Hardware, hardware_of, target_text
    from tuner.api import target_of

    try:
        resolved = target_of(target, threads)
    except TirtuneError as error:
        yield Check("target", "bad", str(error), "", target)
        return
    yield Check("target", "ok", target_text(resolved), "", target_text(resolved))
    hardware = hardware_of(resolved)
    if not isinstance(hardware, Hardware):
        from tuner.doctor.gpu import gpu_checks

        yield from gpu_checks(resolved, hardware.to_dict())
        return
    narrow = hardware.vector_bytes < 32
    yield Check(
        "vectors",
        "note" if narrow else "ok",
        f"{hardware.vector_registers} registers of {hardware.vector_bytes} bytes",
        "the target allows narrow vectors only: name the CPU with -mcpu" if narrow else "",
        hardware.vector_bytes,
    )
    caches = {"l1": hardware.l1_bytes, "l2": hardware.l2_bytes, "l3": hardware.l3_bytes}
    words = ", ".join(f"{name.upper()} {bytes_text(size)}" for name, size in caches.items())
    yield Check("caches", "ok", words, "", caches)
    if speed and target is None:
        from tuner.peak import peak_gflops

        reached = peak_gflops(resolved)
        yield Check("peak", "ok", f"{rate(reached)} GFLOP/s float32 on {hardware.cores} threads", "", reached)
