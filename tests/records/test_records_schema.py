"""The format: schema file, migrations, encoding, keys."""

import copy
import json
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
import record_samples as samples
from hypothesis import given
from hypothesis import strategies as st
from record_samples import header, program, record

import records
from records.building import full_plan, lines_of
from records.encoding import clean_text, decode_line, encode_line, pack_text, unpack_text
from records.errors import InvalidLine
from records.jsonl import JsonlStore
from records.migrations import MIGRATIONS, migrate
from records.plans import plan_key, stored_plan
from records.schema import SCHEMA_VERSION, Failure, json_schema

pytestmark = pytest.mark.pure

SCHEMA_FILE = Path(records.__file__).parent / "schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
ASSETS = Path(__file__).parents[1] / "assets" / "records"


def test_the_schema_file_is_current():
    """Remake it with ``python tests/records/write_schema.py``."""
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema()


@given(samples.lines)
def test_lines_validate_against_the_schema_and_round_trip(line):
    data = encode_line(line)
    VALIDATOR.validate(json.loads(data))
    assert decode_line(data) == line
    assert encode_line(decode_line(data)) == data
    assert b"\n" not in data


def test_the_schema_refuses_wrong_lines():
    wrong = json.loads(encode_line(record(0)))
    wrong["trial"] = -1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema())


def test_every_old_version_has_an_asset_that_reads():
    assert sorted(MIGRATIONS) == list(range(SCHEMA_VERSION))
    for version in MIGRATIONS:
        with JsonlStore(ASSETS / f"version{version}.jsonl", read_only=True) as store:
            view = store.view()
            assert not view.problems
            whole = store.load(view.summaries)
            assert view.headers and whole and all(view.programs[key] for key in view.programs)
            for line in [*view.headers, *whole, *view.programs.values()]:
                assert line.schema == SCHEMA_VERSION
                jsonschema.validate(json.loads(encode_line(line)), json_schema())


def test_version_0_keeps_its_meaning():
    with JsonlStore(ASSETS / "version0.jsonl", read_only=True) as store:
        view = store.view()
        baseline, good, bad = store.load(view.summaries)
    assert (baseline.kind, good.kind, bad.kind) == ("baseline", "trial", "trial")
    assert (baseline.timing.median_seconds, good.timing.median_seconds) == (0.5, 0.25)
    assert bad.failure == Failure(stage="build", message="too many registers")
    assert good.plan_key == plan_key({"kind": "sketch", "sketch": "tiled", "row": [1, 2]})
    assert [s.plan_key for s in view.summaries] == [r.plan_key for r in (baseline, good, bad)]


def test_migrations_are_pure():
    for text in (ASSETS / "version0.jsonl").read_text().splitlines():
        line = json.loads(text)
        before = copy.deepcopy(line)
        assert migrate(line) == migrate(line)
        assert line == before


@pytest.mark.parametrize(
    "line", [[], 3, {"type": "record"}, {"schema": -1}, {"schema": "x"}, {"schema": None}]
)
def test_old_lines_that_lack_something_are_invalid(line):
    with pytest.raises((ValueError, KeyError, TypeError)):
        msgspec.convert(migrate(line), type=dict)
        decode_line(json.dumps(line).encode())
    with pytest.raises(InvalidLine):
        decode_line(json.dumps(line).encode())


@given(st.text(st.characters(codec="utf-8"), max_size=2000))
def test_packed_texts_round_trip(text):
    assert unpack_text(pack_text(text)) == text


def test_a_compression_bomb_is_refused():
    bomb = pack_text("a" * 100_000)
    assert len(bomb) < 400
    with pytest.raises(InvalidLine, match="inflates to more than"):
        unpack_text(bomb, limit_bytes=10_000)


@pytest.mark.parametrize("packed", ["z:", "z:!!!", "z:AAAA", "z:" + "é", pack_text("b" * 999)[:-8]])
def test_damaged_texts_are_refused(packed):
    with pytest.raises(InvalidLine):
        unpack_text(packed)


def test_clean_text_makes_any_text_storable():
    text = clean_text("bad \ud800 " + "x" * 9000)
    assert len(text) == 4096
    encode_line(record(0, None, failure=Failure(stage="run", message=text)))


def test_plan_keys_do_not_depend_on_order_or_number_types():
    plan = {"kind": "sketch", "sketch": "a", "row": [1, 2]}
    same = {"row": [np.int64(1), np.int32(2)], "sketch": "a", "kind": "sketch"}
    assert plan_key(plan) == plan_key(same) != plan_key({**plan, "row": [2, 1]})
    assert plan_key({"kind": "default"}) == "default"
    assert stored_plan(same) == plan
    # A key is stored in logs for years: it must never change.
    assert plan_key(plan) == "sketch:35c7c3020c0ad5af"


class Result:
    """A measurement in the form of the measuring layer."""

    timing = samples.timing(0.1)
    failure = verdict = None
    build_seconds, run_seconds = 0.5, 0.25

    def __init__(self, plan, trace=None, base=None):
        self.plan, self.trace, self.base = plan, trace, base
        self.facts = {"registers": 32.0}


def _lines(result):
    return lines_of(
        result,
        kind="trial",
        session="s",
        workload=samples.workload(),
        target=samples.TARGET,
        environment=samples.HERE,
        time_unix=1.0,
    )


def test_lines_of_a_sketch_plan_keep_trace_and_base():
    plan = {"kind": "sketch", "sketch": "packed", "row": [1]}
    base, line = _lines(Result(plan, samples.TRACE, samples.PROGRAM))
    assert line.plan == plan and line.base == base.workload.key
    assert unpack_text(line.trace) == samples.TRACE
    assert full_plan(line, {}.get) == plan


def test_lines_of_a_trace_plan_store_its_parts_and_give_it_back():
    plan = {"kind": "trace", "base": samples.PROGRAM, "trace": json.loads(samples.TRACE)}
    base, line = _lines(Result(plan))
    assert line.plan == {"kind": "trace"} and line.plan_key == plan_key(plan)
    programs = {base.workload.key: unpack_text(base.program)}
    assert full_plan(line, programs.get) == plan
    with pytest.raises(InvalidLine, match="not in the log"):
        full_plan(line, {}.get)


def test_a_record_needs_timing_or_failure():
    with pytest.raises(ValueError, match="timing or failure"):
        record(0, failure=None, timing=None)


def test_samples_are_what_they_seem():
    assert decode_line(encode_line(header())) == header()
    assert decode_line(encode_line(program())) == program()
