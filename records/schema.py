"""The lines of a tuning log: what is stored, in which units, and what a valid value is.

Every line is one self-contained JSON object whose first key is ``type``. Versions older than
:data:`SCHEMA_VERSION` are rewritten by :mod:`records.migrations`; newer ones are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1
"""Version of the lines that this program writes."""

MAX_LINE_BYTES = 8 << 20
"""Longest line that is written or read; a program of 500 blocks takes about 2 MiB."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e12)]
Key = Annotated[str, Meta(min_length=1, max_length=128)]
ShortText = Annotated[str, Meta(max_length=512)]
MessageText = Annotated[str, Meta(max_length=4096)]
TargetText = Annotated[str, Meta(min_length=1, max_length=8192)]

Kind = Literal["baseline", "trial", "confirmation"]
Stage = Literal["generate", "build", "timeout", "crash", "wrong_result", "run"]


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a workload, in call order.

    Attributes:
        name: Readable name.
        shape: Extents, outermost first.
        dtype: Element type, such as ``float32``.
        is_output: Whether the function writes it.
    """

    name: ShortText
    shape: Annotated[tuple[Count, ...], Meta(max_length=32)]
    dtype: ShortText
    is_output: bool


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the compiler that a time belongs to.

    Attributes:
        cpu: Model name as the operating system gives it.
        isa: Digest of the instruction-set features (see :mod:`records.environment`).
        cores: CPUs that the process might use.
        threads: Threads that kernels used.
        tvm: Version of TVM.
        llvm: Version of LLVM inside it, empty where unknown.
        host: Name of the machine.
        gpu: Name of the device, empty on a CPU.
    """

    cpu: ShortText
    isa: ShortText
    cores: Count
    threads: Count
    tvm: ShortText
    llvm: ShortText = ""
    host: ShortText = ""
    gpu: ShortText = ""


class WorkloadInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says of its workload.

    Attributes:
        key: Structural hash of the program, 16 hexadecimal digits.
        name: Readable name, such as ``gmm:1,512,512,512``; never used for look-up.
        args: The parameters in call order.
        flops: Floating-point operations of one call.
    """

    key: Key
    name: ShortText
    args: Annotated[tuple[Argument, ...], Meta(max_length=256)] = ()
    flops: Annotated[float, Meta(ge=0.0)] = 0.0


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the timed runs of one candidate.

    Attributes:
        runs_seconds: Each timed run.
        minimum_seconds: The fastest run.
        median_seconds: The figure that candidates are compared by.
        low_seconds: Lower end of the 95% interval.
        high_seconds: Upper end of the 95% interval.
        cache: Cache policy of the runs, such as ``warm`` or ``flushed``.
    """

    runs_seconds: Annotated[tuple[Seconds, ...], Meta(max_length=4096)]
    minimum_seconds: Seconds
    median_seconds: Annotated[float, Meta(gt=0.0, le=1e12)]
    low_seconds: Seconds
    high_seconds: Seconds
    cache: ShortText = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a candidate has no valid time.

    Attributes:
        stage: Where it failed.
        message: What happened, shortened to 4096 characters.
    """

    stage: Stage
    message: MessageText


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of the comparison with the untuned program.

    Attributes:
        ok: Whether every check held.
        max_abs_error: Largest absolute difference; ``None`` where it was not a finite number.
        max_rel_error: Largest relative difference; ``None`` where it was not a finite number.
        tolerance: Bound that the differences were held against.
        checks: Names of the checks that ran.
    """

    ok: bool
    max_abs_error: float | None = None
    max_rel_error: float | None = None
    tolerance: float | None = None
    checks: Annotated[tuple[ShortText, ...], Meta(max_length=64)] = ()


class Header(msgspec.Struct, tag="header", frozen=True, kw_only=True):
    """First line of a session: everything that was asked for.

    Attributes:
        schema: Version of the line.
        session: Identifier that the session's records carry.
        time_unix: Start, seconds since the epoch.
        tool: Version of tirtune.
        options: All options of the session.
        environment: The machine.
        isa_features: Instruction-set features behind ``environment.isa``, for reading.
    """

    schema: Count = SCHEMA_VERSION
    session: Key
    time_unix: Seconds
    tool: ShortText
    options: dict[str, Any]
    environment: Environment
    isa_features: Annotated[tuple[ShortText, ...], Meta(max_length=1024)] = ()


class ProgramLine(msgspec.Struct, tag="program", frozen=True, kw_only=True):
    """A program, once per log, so that the log can be used without the model.

    Attributes:
        schema: Version of the line.
        workload: Key, name, parameters and operations.
        program: TVM's JSON of the function, compressed by :mod:`records.encoding`.
    """

    schema: Count = SCHEMA_VERSION
    workload: WorkloadInfo
    program: str


class TuningRecord(msgspec.Struct, tag="record", frozen=True, kw_only=True):
    """One measurement, complete in itself.

    Attributes:
        schema: Version of the line.
        kind: ``baseline`` (the untuned program), ``trial`` or ``confirmation`` (a repeated measurement).
        session: Session that measured it.
        round: Search round, from 0.
        trial: Number of the trial in its session, from 0.
        time_unix: When it was measured, seconds since the epoch.
        workload: What was tuned.
        target: Canonical JSON of the TVM target.
        environment: Where and with how many threads.
        plan: How it was scheduled; a replayed trace is left out here and stands in ``trace``.
        plan_key: Identity of the plan (:func:`records.plans.plan_key`).
        trace: TVM's trace as compressed JSON (:mod:`records.encoding`), kept for valid measurements.
        base: Key of the program line that the trace starts from, when it is not the workload itself.
        timing: Statistics, or ``None`` where it never ran.
        failure: Why it has no valid time, or ``None``.
        verdict: Comparison with the untuned program, or ``None`` where it was not checked.
        seed: Seed of the session.
        search_seconds: Search time spent on this candidate.
        build_seconds: Time to build it.
        run_seconds: Time to run and check it.
        facts: What the compiler reported of a GPU kernel, by name, such as ``registers``; ``drift`` where the
            machine was more than a tenth slower than at its best in the session.
    """

    schema: Count = SCHEMA_VERSION
    kind: Kind
    session: Key
    round: Count = 0
    trial: Count = 0
    time_unix: Seconds
    workload: WorkloadInfo
    target: TargetText
    environment: Environment
    plan: dict[str, Any]
    plan_key: Key
    trace: str | None = None
    base: Key | None = None
    timing: Timing | None = None
    failure: Failure | None = None
    verdict: Verdict | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    search_seconds: Seconds = 0.0
    build_seconds: Seconds = 0.0
    run_seconds: Seconds = 0.0
    facts: Annotated[dict[ShortText, float], Meta(max_length=32)] = {}

    def __post_init__(self) -> None:
        """Refuse a record that says neither how fast nor why not.

        Raises:
            ValueError: If both ``timing`` and ``failure`` are absent.
        """
        if self.timing is None and self.failure is None:
            raise ValueError("a record needs timing or failure")


Line = Header | ProgramLine | TuningRecord
"""Any line of a log."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line, as stored in ``records/schema.json``."""
    schema = msgspec.json.schema(Line)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"One line of a tirtune log, schema version {SCHEMA_VERSION}"
    return dict(msgspec.json.decode(msgspec.json.encode(schema)))  # lists for tuples, as the file has them
