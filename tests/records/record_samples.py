"""Small valid lines for the tests of records, and hypothesis strategies that make more."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from records.encoding import pack_text
from records.plans import plan_key
from records.schema import (
    Argument,
    Environment,
    Failure,
    Header,
    Line,
    ProgramLine,
    Timing,
    TuningRecord,
    Verdict,
    WorkloadInfo,
)

HERE = Environment(
    cpu="Test CPU 9", isa="00112233aabbccdd", cores=2, threads=2, tvm="0.27.0", llvm="22", host="a"
)
TARGET = '{"kind":"llvm","mcpu":"znver5","num-cores":2}'
PROGRAM = '{"root_index":0,"nodes":[{"type":"None"}]}'
TRACE = '[[["GetSBlock",[],["C","main"],["b0"]],["GetLoops",["b0"],[],["l1","l2","l3"]]],[]]'


def elsewhere(environment: Environment = HERE, **changes: Any) -> Environment:
    return msgspec.structs.replace(environment, **changes)


def workload(key: str = "00000000000000aa", name: str = "gmm:1,8,8,8") -> WorkloadInfo:
    args = tuple(Argument(name=n, shape=(8, 8), dtype="float32", is_output=n == "C") for n in "ABC")
    return WorkloadInfo(key=key, name=name, args=args, flops=1024.0)


def timing(seconds: float) -> Timing:
    return Timing(
        runs_seconds=(seconds,) * 3,
        minimum_seconds=seconds,
        median_seconds=seconds,
        low_seconds=seconds,
        high_seconds=seconds,
        cache="warm",
    )


def record(index: int = 0, seconds: float | None = 0.001, **changes: Any) -> TuningRecord:
    plan = changes.pop("plan", {"kind": "sketch", "sketch": "tiled", "row": [index, 2, 3]})
    fields: dict[str, Any] = {
        "kind": "trial",
        "session": "s1",
        "trial": index,
        "time_unix": 1000.0 + index,
        "workload": workload(),
        "target": TARGET,
        "environment": HERE,
        "plan": plan,
        "plan_key": plan_key(plan),
        "timing": None if seconds is None else timing(seconds),
        "failure": None if seconds is not None else Failure(stage="build", message="no"),
        "verdict": None if seconds is None else Verdict(ok=True, max_abs_error=0.0, checks=("random",)),
        "trace": None if seconds is None else pack_text(TRACE),
        "search_seconds": 0.1,
        "build_seconds": 0.2,
        "run_seconds": 0.3,
    }
    return TuningRecord(**(fields | changes))


def header(session: str = "s1", **changes: Any) -> Header:
    return Header(
        **(
            {
                "session": session,
                "time_unix": 999.0,
                "tool": "0.1",
                "options": {"trials": 4},
                "environment": HERE,
            }
            | changes
        )
    )


def program(key: str = "00000000000000aa") -> ProgramLine:
    return ProgramLine(workload=workload(key), program=PROGRAM)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
keys = st.sampled_from(["00000000000000aa", "00000000000000bb", "00000000000000cc"])
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
environments = st.builds(
    Environment,
    cpu=st.sampled_from(["A", "B"]),
    isa=st.sampled_from(["x", "y"]),
    cores=st.integers(1, 64),
    threads=st.integers(1, 4),
    tvm=names,
    llvm=names,
    host=names,
)


@st.composite
def records(draw: st.DrawFn) -> TuningRecord:
    seconds = draw(st.none() | st.floats(1e-9, 1e3))
    plan = draw(
        st.just({"kind": "default"})
        | st.builds(
            lambda row: {"kind": "sketch", "sketch": "s", "row": row}, st.lists(st.integers(0, 9), max_size=4)
        )
    )
    failed = Failure(
        stage=draw(st.sampled_from(["generate", "build", "timeout", "crash", "run"])), message=draw(names)
    )
    return record(
        draw(st.integers(0, 50)),
        seconds,
        plan=plan,
        kind=draw(st.sampled_from(["baseline", "trial", "confirmation"])),
        session=draw(st.sampled_from(["s1", "s2"])),
        time_unix=float(draw(st.integers(0, 20))),
        workload=workload(draw(keys), draw(names)),
        environment=draw(environments),
        verdict=draw(st.none() | st.builds(Verdict, ok=st.booleans())) if seconds is not None else None,
        failure=None if seconds is not None else failed,
        seed=draw(st.integers(-(2**63), 2**63 - 1)),
    )


lines: st.SearchStrategy[Line] = st.one_of(
    records(),
    st.builds(lambda key: program(key), keys),
    st.builds(lambda s, o: header(s, options=o), names, st.dictionaries(names, plain, max_size=3)),
)
