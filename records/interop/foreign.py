"""What every import from another tuner has in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from records.building import lines_of, program_line, workload_info
from records.errors import Problem, StoreError
from records.schema import MAX_LINE_BYTES, Environment, Failure, Line, Timing, WorkloadInfo
from search_space.workload import Workload

UNKNOWN_MACHINE = "unknown"
"""CPU and features of an import whose machine nobody named: no look-up matches it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in.

    Attributes:
        lines: Programs and records, ready for a store.
        records: How many of them are records.
        problems: What was left out, with file and line number.
    """

    lines: tuple[Line, ...]
    records: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ForeignMeasurement:
    """A measurement of another tuner in the form that :func:`records.building.lines_of` reads."""

    plan: dict[str, Any]
    timing: Timing | None
    failure: Failure | None
    verdict: None = None
    trace: None = None
    base: None = None
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    facts: Mapping[str, float] = field(default_factory=dict)


class LineCollector:
    """Gathers records, each workload's program before its first record."""

    def __init__(self, session: str, environment: Environment | None, time_unix: float) -> None:
        self._session = session
        self._environment = environment
        self._time_unix = time_unix
        self._infos: dict[str, WorkloadInfo] = {}
        self.lines: list[Line] = []
        self.count = 0

    def add(self, workload: Workload, target: str, threads: int, measured: ForeignMeasurement) -> None:
        """Add a record; its machine is the one that the caller named, or an unknown one."""
        info = self._infos.get(workload.key)
        if info is None:
            info = workload_info(workload.key, workload.name, workload.args, workload.flops)
            self._infos[workload.key] = info
            self.lines.append(program_line(info, workload.program()))
        self.lines += lines_of(
            measured,
            kind="trial",
            session=self._session,
            workload=info,
            target=target,
            environment=_environment(self._environment, threads),
            time_unix=self._time_unix,
            trial=self.count,
        )
        self.count += 1


def timing_of_runs(runs_seconds: list[float]) -> Timing:
    """Return the statistics of runs of which no interval is known: it spans all of them."""
    return Timing(
        runs_seconds=tuple(runs_seconds),
        minimum_seconds=min(runs_seconds),
        median_seconds=median(runs_seconds),
        low_seconds=min(runs_seconds),
        high_seconds=max(runs_seconds),
    )


def json_lines(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line of a file of JSON lines.

    Args:
        path: The file.
        problems: Lines that are no JSON, or too long, are added here and left out.

    Raises:
        StoreError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(4 * MAX_LINE_BYTES):
                number += 1
                if not line.strip():
                    continue
                try:
                    yield number, msgspec.json.decode(line)
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    problems.append(Problem(str(path), number, f"left out a line that is no JSON: {error}"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; correct the path") from error


def _environment(named: Environment | None, threads: int) -> Environment:
    if named is not None:
        return msgspec.structs.replace(named, threads=threads)
    unknown = UNKNOWN_MACHINE
    return Environment(cpu=unknown, isa=unknown, cores=0, threads=threads, tvm=unknown)
