"""Merging, pruning, verifying and reporting."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_samples import HERE, header, lines, program, record, workload

from records.encoding import encode_line, pack_text
from records.jsonl import JsonlStore
from records.memory import MemoryStore
from records.merge import merge, prune
from records.reports import best_rows, find_records, stats
from records.schema import Failure
from records.verify import verify

pytestmark = pytest.mark.pure


def store_of(*some):
    store = MemoryStore()
    store.append(some)
    return store


def content(store):
    view = store.view()
    return (
        sorted(encode_line(r) for r in store.load(view.summaries)),
        sorted(encode_line(h) for h in view.headers),
        sorted(encode_line(view.programs[key]) for key in view.programs),
    )


def merged(*sources):
    output = MemoryStore()
    merge(sources, output)
    return output


batches = st.lists(lines, max_size=8)


@settings(max_examples=40)
@given(batches, batches, batches)
def test_merging_is_commutative_associative_and_idempotent(a, b, c):
    a, b, c = store_of(*a), store_of(*b), store_of(*c)
    assert content(merged(a, b)) == content(merged(b, a))
    assert content(merged(merged(a, b), c)) == content(merged(a, merged(b, c)))
    once = merged(a, b)
    assert content(merged(once, once)) == content(once)
    assert content(merged(once, a)) == content(once)
    assert merge([a, b], once).added == 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=batches, b=batches)
def test_merged_files_are_the_same_bytes_in_any_order(tmp_path, a, b):
    texts = []
    for sources in ([a, b], [b, a]):
        path = tmp_path / "out.jsonl"
        path.unlink(missing_ok=True)
        with JsonlStore(path) as output:
            merge([store_of(*source) for source in sources], output)
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]


def test_merge_counts_and_leaves_damage_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"\n".join(
            [
                encode_line(header()),
                encode_line(record(0)),
                b"garbage",
                encode_line(record(1)).replace(b'"plan":{', b'"plan":[],"x":{'),
                encode_line(program()).replace(b'"program":"{', b'"program":7,"x":"{'),
                encode_line(record(2)),
                b"",
            ]
        )
    )
    output = store_of(record(2))
    with JsonlStore(path, read_only=True) as source:
        report = merge([source], output)
    assert (report.read, report.added, report.duplicates, report.headers, report.programs) == (2, 1, 1, 1, 0)
    assert sorted(s.trial for s in output.view().summaries) == [0, 2]
    assert [p.line for p in report.problems] == [3, 4, 0]


def sketch(number):
    return {"kind": "sketch", "sketch": "s", "row": [number]}


def test_prune_keeps_the_best_with_what_they_need():
    source = store_of(
        header("s1"),
        header("unused"),
        program(),
        program("00000000000000cc"),
        record(0, 0.9, plan={"kind": "default"}, kind="baseline"),
        *(record(i, 0.1 * i, plan=sketch(i)) for i in range(1, 5)),
        record(8, None),
        record(9, 0.3, workload=workload("00000000000000bb")),
    )
    output = MemoryStore()
    report = prune(source, output, keep=2)
    assert sorted(s.trial for s in output.view().summaries) == [0, 1, 2, 9]
    assert [h.session for h in output.view().headers] == ["s1"]
    assert list(output.view().programs) == [workload().key]
    assert (report.read, report.added) == (7, 4)
    with pytest.raises(ValueError, match="at least 1"):
        prune(source, output, keep=0)


def test_verify_finds_what_is_wrong():
    sound = verify(store_of(header(), program(), record(0), record(1, None)))
    assert sound.is_sound
    assert (sound.records, sound.replayable, sound.programs, sound.headers) == (2, 1, 1, 1)
    evil = '[[["Annotate",["b0","x"],["pragma_import_llvm"],[]]],[]]'
    report = verify(
        store_of(
            record(0, plan_key="sketch:0"),
            record(1, base="base:0"),
            record(2, trace=pack_text("{")),
            record(3, trace="z:damaged"),
            record(4, trace=pack_text(evil)),
        )
    )
    texts = " | ".join(str(problem) for problem in report.problems)
    for expected in ("was edited", "base:0 is not in the log", "not JSON", "damaged", "pragma_import_llvm"):
        assert expected in texts
    assert len(report.problems) == 5 and report.replayable == 0


def test_reports_are_plain_values():
    store = store_of(
        header(),
        program(),
        record(0, 0.4, plan={"kind": "default"}, kind="baseline"),
        record(1, 0.2, plan=sketch(1)),
        record(2, None, plan=sketch(2), failure=Failure(stage="timeout", message="slow")),
    )
    view = store.view()
    (row,) = best_rows(view)
    assert (row["seconds"], row["baseline_seconds"], row["threads"]) == (0.2, 0.4, HERE.threads)
    assert row["gflops"] == pytest.approx(1024 / 0.2 / 1e9)
    assert [r["rank"] for r in best_rows(view, limit=5)] == [1, 2]
    table = stats(view)
    assert (table["records"], table["sessions"], table["programs"]) == (3, 1, 1)
    assert table["tasks"][0]["failures"] == {"timeout": 1}
    assert table["seconds"]["search"] == pytest.approx(0.3)
    json.dumps([row, table])
    assert stats(MemoryStore().view())["first_time_unix"] is None


def test_show_finds_records_by_key_name_and_number():
    store = store_of(record(0, plan=sketch(0)), record(1, plan=sketch(1)), record(2, trace="z:bad"))
    key = store.view().summaries[1].plan_key
    assert [d["trial"] for d in find_records(store, key)[1]] == [1]
    assert [d["trial"] for d in find_records(store, key[:-3])[1]] == [1]
    count, found = find_records(store, "gmm:1,8,8,8", limit=2)
    assert count > 2 and [d["trial"] for d in found] == [0, 1]
    _, (shown,) = find_records(store, "#2")
    assert shown["plan"] == sketch(1) and shown["trace"][0][0][0] == "GetSBlock"
    assert "damaged" in find_records(store, "#3")[1][0]["problem"]
    assert find_records(store, "nothing") == (0, [])
    json.dumps(shown)
