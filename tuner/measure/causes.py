"""When every trial fails for one cause, the candidates are not to blame."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tuner.errors import JobFailed
from tuner.measure.base import MeasureResult

_REMEDIES = {
    "generate": "the sketches do not fit the workload: try other sketches, or report the workload",
    "build": "check the target: does this machine's compiler know its mcpu and its features?",
    "timeout": "raise the time limits of a build or a run, or check whether the machine is overloaded",
    "crash": "check that the target's mcpu is this machine's, and that the memory limit is large enough",
    "wrong_result": "the program may not be deterministic, or its inputs may need other values",
    "run": "check that the target's mcpu is this machine's, and that the memory limit is large enough",
}


def raise_for_common_cause(results: Sequence[MeasureResult], name: str, least: int) -> None:
    """End the job if every trial of a batch failed in the same way.

    Failures of candidates that were stopped for being slow do not count: those work.

    Args:
        results: The results of one batch.
        name: Readable name of the task.
        least: A smaller batch proves nothing.

    Raises:
        JobFailed: With the cause and what to do about it.
    """
    failures = [r.failure for r in results]
    if len(failures) < least or any(f is None or f.is_censored for f in failures):
        return
    causes = {(f.stage, _pattern(f.message)) for f in failures if f is not None}
    if len(causes) != 1:
        return
    first = failures[0]
    assert first is not None
    raise JobFailed(
        f"all {len(failures)} trials of {name} failed for one cause ({first.stage}): {first.message}; "
        f"{_REMEDIES[first.stage]}"
    )


def _pattern(message: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?(e[+-]?\d+)?", "#", message)[:120]
