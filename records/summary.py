"""The light view of a line: all that look-ups, reports and resume need, without plans, traces and programs.

Decoding a whole record takes some 15 microseconds; skipping the heavy fields and sharing repeated
strings keeps 100,000 records within two seconds and some 600 bytes each.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from records.encoding import DECODE_ERRORS, decode_line, one_line, probe_version
from records.errors import InvalidLine, NewerLog
from records.schema import (
    SCHEMA_VERSION,
    Count,
    Environment,
    Header,
    Key,
    Kind,
    Line,
    ProgramLine,
    Seconds,
    ShortText,
    Stage,
    TargetText,
    TuningRecord,
)


class Summary(msgspec.Struct, frozen=True, gc=False):
    """One record without plan, trace and single runs.

    Attributes:
        position: Where the store finds the whole record; only that store understands it.
        number: Line or row number, from 1.
        kind: ``baseline``, ``trial`` or ``confirmation``.
        key: Structural hash of the workload.
        name: Readable name of the workload.
        target: Canonical JSON of the target.
        environment: Machine and thread count.
        plan_key: Identity of the plan.
        median_seconds: Its time, or ``None``.
        stage: Where it failed, or ``None``.
        ok: The verdict, or ``None`` where it was not checked.
        has_trace: Whether it can be replayed without the generator.
        session: Session identifier.
        round: Search round.
        trial: Trial number.
        time_unix: When it was measured.
        flops: Floating-point operations of one call.
        search_seconds: Search time spent on it.
        build_seconds: Build time.
        run_seconds: Run time.
    """

    position: tuple[int, int]
    number: int
    kind: Kind
    key: str
    name: str
    target: str
    environment: Environment
    plan_key: str
    median_seconds: float | None
    stage: Stage | None
    ok: bool | None
    has_trace: bool
    session: str
    round: int
    trial: int
    time_unix: float
    flops: float
    search_seconds: float
    build_seconds: float
    run_seconds: float

    @property
    def threads(self) -> int:
        """Threads that the kernel used."""
        return self.environment.threads

    @property
    def is_valid(self) -> bool:
        """Whether it has a time and no failed check."""
        return self.median_seconds is not None and self.stage is None and self.ok is not False


class _Workload(msgspec.Struct, frozen=True, gc=False):
    key: Key
    name: ShortText
    flops: float = 0.0


class _Timing(msgspec.Struct, frozen=True, gc=False):
    median_seconds: float


class _Failure(msgspec.Struct, frozen=True, gc=False):
    stage: Stage


class _Verdict(msgspec.Struct, frozen=True, gc=False):
    ok: bool


class _Light(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Any line; the fields of a record are required by :meth:`SummaryReader._summary`."""

    type: Literal["record", "header", "program"]
    schema: Count = 0
    workload: _Workload | None = None
    kind: Kind = "trial"
    session: ShortText = ""
    round: Count = 0
    trial: Count = 0
    time_unix: Seconds | None = None
    target: TargetText = "unknown"
    environment: msgspec.Raw = msgspec.Raw()
    plan_key: ShortText = ""
    plan: msgspec.Raw = msgspec.Raw()
    trace: msgspec.Raw = msgspec.Raw()
    timing: _Timing | None = None
    failure: _Failure | None = None
    verdict: _Verdict | None = None
    search_seconds: Seconds = 0.0
    build_seconds: Seconds = 0.0
    run_seconds: Seconds = 0.0


class SummaryReader:
    """Turns lines into summaries and shares equal strings and environments between them.

    Not safe for several threads at once; every store has its own under its lock.
    """

    def __init__(self) -> None:
        self._light = msgspec.json.Decoder(_Light)
        self._environment = msgspec.json.Decoder(Environment)
        self._environments: dict[bytes, Environment] = {}
        self._strings: dict[str, str] = {}

    def read(self, data: bytes, position: tuple[int, int], number: int) -> Summary | Header | str:
        """Read one line lightly.

        Args:
            data: The line.
            position: Kept in the summary.
            number: Line number, from 1.

        Returns:
            A summary of a record, a whole header, or the key of a program.

        Raises:
            NewerLog: If a newer program wrote the line.
            InvalidLine: If it is not valid; what lies in the skipped fields is found when they are loaded.
        """
        try:
            light = self._light.decode(data)
            if light.schema != SCHEMA_VERSION:
                probe_version(data)
                return self.of_line(decode_line(data), position, number)
            if light.type == "record":
                return self._summary(light, position, number)
            if light.type == "program":
                if light.workload is None:
                    raise InvalidLine("Object missing required field `workload`")
                return light.workload.key
            line = decode_line(data)
            assert isinstance(line, Header)
            return line
        except (NewerLog, InvalidLine):
            raise
        except (TypeError, *DECODE_ERRORS) as error:
            self._refuse_newer(data)
            raise InvalidLine(one_line(error)) from error

    def of_line(self, line: Line, position: tuple[int, int], number: int) -> Summary | Header | str:
        """Return the light view of a whole line."""
        if isinstance(line, Header):
            return line
        if isinstance(line, ProgramLine):
            return line.workload.key
        return self.of_record(line, position, number)

    def of_record(self, record: TuningRecord, position: tuple[int, int], number: int) -> Summary:
        """Return the summary of a record."""
        share = self._share
        return Summary(
            position=position,
            number=number,
            kind=record.kind,
            key=share(record.workload.key),
            name=share(record.workload.name),
            target=share(record.target),
            environment=record.environment,
            plan_key=record.plan_key,
            median_seconds=None if record.timing is None else record.timing.median_seconds,
            stage=None if record.failure is None else record.failure.stage,
            ok=None if record.verdict is None else record.verdict.ok,
            has_trace=record.trace is not None,
            session=share(record.session),
            round=record.round,
            trial=record.trial,
            time_unix=record.time_unix,
            flops=record.workload.flops,
            search_seconds=record.search_seconds,
            build_seconds=record.build_seconds,
            run_seconds=record.run_seconds,
        )

    def _summary(self, light: _Light, position: tuple[int, int], number: int) -> Summary:
        workload, time_unix = light.workload, light.time_unix
        if workload is None or time_unix is None or not light.session or not light.plan_key:
            raise InvalidLine("a record needs the fields workload, time_unix, session and plan_key")
        timing, failure, verdict = light.timing, light.failure, light.verdict
        if timing is None and failure is None:
            raise InvalidLine("a record needs timing or failure")
        if timing is not None and not timing.median_seconds > 0.0:
            raise InvalidLine("Expected `float` > 0.0 - at `$.timing.median_seconds`")
        share = self._share
        return Summary(
            position,
            number,
            light.kind,
            share(workload.key),
            share(workload.name),
            share(light.target),
            self._environment_of(light.environment),
            light.plan_key,
            None if timing is None else timing.median_seconds,
            None if failure is None else failure.stage,
            None if verdict is None else verdict.ok,
            memoryview(light.trace).nbytes > len("null"),
            share(light.session),
            light.round,
            light.trial,
            time_unix,
            workload.flops,
            light.search_seconds,
            light.build_seconds,
            light.run_seconds,
        )

    def _environment_of(self, raw: msgspec.Raw) -> Environment:
        data = bytes(raw)
        known = self._environments.get(data)
        if known is None:
            known = self._environments[data] = self._environment.decode(data)
        return known

    def _share(self, text: str) -> str:
        return self._strings.setdefault(text, text)

    @staticmethod
    def _refuse_newer(data: bytes) -> None:
        """Raise :class:`NewerLog` for a line whose shape this program does not know because it is newer."""
        try:
            probe_version(data)
        except NewerLog:
            raise
        except DECODE_ERRORS:
            return
