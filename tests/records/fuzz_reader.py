"""Throw damaged lines at all that reads a log: ``python tests/records/fuzz_reader.py [inputs] [seed]``.

Each input is a small file made of valid lines, mutated on the level of bytes, of JSON values or of whole
lines. Nothing but the package's own errors may come out, memory must stay bounded, and nothing that the
file says may be executed (a Python audit hook watches for processes, sockets and code).
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import contextlib

import record_samples as samples

from records.building import full_plan
from records.encoding import encode_line, pack_text, unpack_text
from records.errors import InvalidLine, NewerLog, NotALog, RecordError
from records.jsonl import JsonlStore
from records.query import lookup
from records.ranking import best_per_task
from records.reports import stats
from records.summary import SummaryReader
from records.trace_check import check_program, check_trace

_FORBIDDEN = (
    "exec",
    "compile",
    "subprocess.",
    "os.system",
    "os.exec",
    "socket.",
    "pickle.",
    "ctypes.",
    "import",
)

_SEEDS = [
    encode_line(samples.header()),
    encode_line(samples.program()),
    encode_line(samples.record(0)),
    encode_line(samples.record(1, None)),
    encode_line(
        samples.record(2, plan={"kind": "trace"}, base="base:0011", trace=pack_text(samples.TRACE * 9))
    ),
    (Path(__file__).parents[1] / "assets" / "records" / "version0.jsonl").read_bytes().splitlines()[3],
]

_VALUES = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    2**64,
    10**400,
    0.0,
    -0.5,
    1e308,
    "",
    "x",
    "\x00",
    "\ud7ff",
    "z:",
    "z:eJw=",
]
_VALUES += [
    [],
    {},
    [[]],
    {"kind": "trace"},
    "a" * 5000,
    [1] * 500,
    "pragma_import_llvm",
    "__import__('os')",
    "1e999",
]
_TOKENS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"null",
    b"\n",
    b"\xff",
    b"\x00",
]
_TOKENS += [
    b"[" * 3000,
    b'{"a":' * 2000,
    b"9" * 5000,
    b'"schema":2',
    b'"schema":0',
    b'"type":"header"',
    b" " * 100,
]


def mutate(rng: random.Random) -> bytes:
    """Return the bytes of a damaged log."""
    lines = [rng.choice(_SEEDS) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
    index = rng.randrange(len(lines))
    if rng.random() < 0.5:
        lines[index] = _mutate_value(lines[index], rng)
    if rng.random() < 0.6:
        lines[index] = _mutate_bytes(lines[index], rng)
    return b"\n".join(lines) + rng.choice((b"\n", b"\n", b""))


def _mutate_value(line: bytes, rng: random.Random) -> bytes:
    value = json.loads(line)
    node = value
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = rng.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.7:
            node = node[key]
            continue
        if rng.random() < 0.3 and isinstance(node, dict):
            del node[key]
        else:
            node[key] = rng.choice(_VALUES)
        break
    return json.dumps(value, separators=(",", ":")).encode("utf-8", "replace")


def _mutate_bytes(line: bytes, rng: random.Random) -> bytes:
    data = bytearray(line)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        action = rng.randrange(5)
        if action == 0:
            data[at : at + rng.randrange(1, 30)] = b""
        elif action == 1:
            data[at:at] = rng.choice(_TOKENS)
        elif action == 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif action == 3:
            data = data[:at]
        else:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.randrange(40)]
    return bytes(data)


def read_line(data: bytes, reader: SummaryReader) -> None:
    """Take one line through the light and the full decoder and what follows them."""
    from records.encoding import decode_line

    with contextlib.suppress(InvalidLine, NewerLog):
        reader.read(data, (0, len(data)), 1)
    try:
        line = decode_line(data)
        encode_line(line)
        if line.__class__.__name__ == "ProgramLine":
            check_program(unpack_text(line.program))
        elif line.__class__.__name__ == "TuningRecord":
            plan = full_plan(line, {}.get)
            check_trace(plan.get("trace"))
    except (InvalidLine, NewerLog):
        pass


def read_file(path: Path, data: bytes, *, read_only: bool) -> None:
    """Take a whole file through the store, and load and look up what it holds."""
    path.write_bytes(data)
    try:
        with JsonlStore(path, read_only=read_only) as store:
            view = store.view()
            stats(view)
            best_per_task(view.summaries)
            lookup(view.summaries, key="00000000000000aa", target=samples.TARGET, environment=samples.HERE)
            for summary in view.summaries:
                with contextlib.suppress(RecordError):
                    store.load([summary])
            if not read_only:
                store.append([samples.record(5)])
                assert store.view().summaries[-1].trial == 5
    except (NotALog, NewerLog):
        assert path.read_bytes() == data, "a file that is refused must stay untouched"


def watch() -> None:
    """Stop at once when anything is executed that data could have asked for."""
    import records.trace_check  # noqa: F401  (everything is imported before the watch begins)

    def hook(event: str, _: object) -> None:
        if armed and event.startswith(_FORBIDDEN):
            raise RuntimeError(f"reading a log caused {event}")

    armed = True
    sys.addaudithook(hook)


def fuzz(inputs: int, seed: int, folder: Path) -> None:
    """Read that many damaged inputs; every twentieth as a file, the others line by line."""
    rng = random.Random(seed)
    reader = SummaryReader()
    for number in range(inputs):
        data = mutate(rng)
        if number % 20 == 0:
            read_file(folder / "fuzz.jsonl", data, read_only=number % 40 == 0)
        else:
            for line in data.split(b"\n"):
                read_line(line, reader)
        if number % 5000 == 0:
            reader = SummaryReader()  # as long-lived as a store of this size


def main() -> None:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None) as folder:
        fuzz(min(inputs, 1000), seed + 1, Path(folder))  # lazy imports happen here
        watch()
        fuzz(inputs, seed, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{inputs} inputs, no crash, {time.monotonic() - start:.0f} s, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
