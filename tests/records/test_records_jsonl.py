"""The log file: damage, foreign files, other programs."""

import json
import os
import stat
from pathlib import Path

import pytest
from record_samples import header, program, record

from records.encoding import encode_line
from records.errors import InvalidLine, NewerLog, NotALog, StoreError
from records.jsonl import JsonlStore
from records.opening import open_store
from records.schema import MAX_LINE_BYTES

pytestmark = pytest.mark.pure


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def write(path, *lines, end=b"\n"):
    data = b"\n".join(line if isinstance(line, bytes) else encode_line(line) for line in lines)
    path.write_bytes(data + end)


def trials(store):
    return [s.trial for s in store.view().summaries]


def test_lines_are_json_with_their_type_first(path):
    with JsonlStore(path) as store:
        store.append([header(), program(), record(0)])
    lines = path.read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["header", "program", "record"]
    assert all(line.startswith('{"type":"') for line in lines)


def test_a_torn_tail_is_taken_back_and_reported(path):
    write(path, header(), record(0), encode_line(record(1))[:-30], end=b"")
    with JsonlStore(path) as store:
        assert trials(store) == [0]
        (problem,) = store.view().problems
        assert "unfinished last line" in problem.message
        store.append([record(2)])
        assert trials(store) == [0, 2]
    with JsonlStore(path) as store:
        assert trials(store) == [0, 2] and not store.view().problems


def test_a_whole_last_line_without_line_feed_is_kept(path):
    write(path, header(), record(0), end=b"")
    with JsonlStore(path) as store:
        assert trials(store) == [0]
        assert "line feed" in store.view().problems[0].message
        store.append([record(1)])
    with JsonlStore(path) as store:
        assert trials(store) == [0, 1]


def test_another_writers_torn_tail_is_repaired_before_appending(path):
    with JsonlStore(path) as store:
        store.append([record(0)])
        with path.open("ab") as other:
            other.write(b'{"type":"record","sche')
        store.append([record(1)])
        view = store.view()
        assert [s.trial for s in view.summaries] == [0, 1]
        assert len(view.problems) == 1
        assert store.load(view.summaries) == [record(0), record(1)]


def test_a_reader_changes_nothing(path):
    write(path, record(0), b'{"type":"rec', end=b"")
    before = path.read_bytes()
    with JsonlStore(path, read_only=True) as store:
        assert trials(store) == [0]
        assert trials(store) == [0]
        assert ["unfinished" in p.message for p in store.view().problems] == [True]
        with pytest.raises(StoreError, match="reading only"):
            store.append([record(1)])
    assert path.read_bytes() == before


def test_a_reader_sees_a_last_line_without_line_feed_and_what_follows(path):
    write(path, record(0), record(1), end=b"")
    with JsonlStore(path, read_only=True) as reader:
        assert trials(reader) == [0, 1]
        assert trials(reader) == [0, 1]
        with JsonlStore(path) as writer:
            writer.append([record(2)])
        assert trials(reader) == [0, 1, 2]
        assert [s.number for s in reader.view().summaries] == [1, 2, 3]
        assert reader.load(reader.view().summaries) == [record(0), record(1), record(2)]


@pytest.mark.parametrize(
    "damage",
    [
        b"garbage",
        b"[1,2]",
        b"{}",
        b"\x00" * 100,
        b"\xff\xfe{",
        b"[" * 100_000,
        b'{"type":"record","schema":1}',
        b'{"type":"mystery","schema":1}',
        encode_line(record(7)).replace(b'"trial":7', b'"trial":-7'),
        encode_line(record(7)).replace(b'"median_seconds":0.001', b'"median_seconds":0'),
        encode_line(record(7)).replace(b'"cpu"', b'"cpo"'),
        encode_line(record(7)).replace(b'"kind":"trial"', b'"kind":"trail"'),
    ],
)
def test_a_corrupt_middle_line_is_skipped_and_reported_with_its_number(path, damage):
    write(path, header(), record(0), damage, record(1))
    before = path.read_bytes()
    with JsonlStore(path) as store:
        view = store.view()
        assert [s.trial for s in view.summaries] == [0, 1]
        (problem,) = view.problems
        assert problem.line == 3
        assert str(problem).startswith(f"{path}:3: ")
        assert [s.number for s in view.summaries] == [2, 4]
        assert store.load(view.summaries) == [record(0), record(1)]
    assert path.read_bytes() == before


def test_a_message_names_the_field(path):
    write(path, record(0), encode_line(record(1)).replace(b'"trial":1', b'"trial":"x"'))
    with JsonlStore(path) as store:
        assert "$.trial" in store.view().problems[0].message


def test_damage_in_a_skipped_field_is_found_when_it_is_loaded(path):
    write(
        path,
        record(0),
        encode_line(record(1))
        .replace(b'"row":[1,2,3]', b'"row":[1,2,3],"kind":7')
        .replace(b'"plan":{', b'"plan":[],"plam":{'),
    )
    with JsonlStore(path) as store:
        summaries = store.view().summaries
        with pytest.raises(InvalidLine, match=r"log\.jsonl:2: .*plan"):
            store.load(summaries)
        assert store.load(summaries[:1]) == [record(0)]


def test_many_corrupt_lines_are_counted_in_bounded_memory(path):
    write(path, record(0), *[b"x"] * 3000, record(1))
    with JsonlStore(path) as store:
        problems = store.view().problems
        assert len(problems) == 1001
        assert "2000 more" in problems[-1].message


def test_blank_lines_are_no_problem(path):
    write(path, b"", record(0), b"  ", record(1))
    with JsonlStore(path) as store:
        assert trials(store) == [0, 1] and not store.view().problems


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_newer_log_is_refused_and_left_untouched(path, at):
    lines = [header(), record(0), record(1)]
    lines[at] = b'{"type":"novelty","schema":99,"x":{"y":[1]}}'
    write(path, *lines, b'{"type":"torn', end=b"")
    before = path.read_bytes()
    with pytest.raises(NewerLog, match=rf"log\.jsonl:{at + 1}: schema version 99 .* update tirtune"):
        JsonlStore(path)
    assert path.read_bytes() == before


def test_a_newer_unfinished_tail_is_left_untouched(path):
    write(path, record(0), b'{"type":"novelty","schema":99}', end=b"")
    before = path.read_bytes()
    with pytest.raises(NewerLog):
        JsonlStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"hello\nworld\n", "name a tirtune log"),
        (b"\x7fELF\x00\x00\x00", "name a tirtune log"),
        (b'[0, [[["GetSBlock"', "records import"),
        (b'["123", "abc"]\n', "records import"),
        (
            b'{"i": [["[\\"x\\"]", "llvm"]], "r": [[0.1], 0, 1, 2], "v": "v0.6"}\n',
            "another tuner|name a tirtune",
        ),
        (b"\x00" * 5000, "name a tirtune log"),
        (b"\n".join([b"line"] * 5000), "name a tirtune log"),
        (b"x" * (3 << 20), "name a tirtune log"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_log_is_refused_and_left_untouched(path, content, hint, read_only):
    path.write_bytes(content)
    with pytest.raises(NotALog, match=hint):
        JsonlStore(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{", b'{"type', b'{"type":"header","schema":1,"sess'])
def test_a_first_write_that_was_killed_leaves_an_empty_log(path, content):
    path.write_bytes(content)
    with JsonlStore(path) as store:
        assert trials(store) == []
        store.append([record(0)])
        assert trials(store) == [0]


def test_a_line_beyond_the_limit_is_skipped(path):
    long = b'{"type":"record","x":"' + b"a" * (2 * MAX_LINE_BYTES) + b'"}'
    write(path, record(0), long, record(1))
    with JsonlStore(path) as store:
        assert trials(store) == [0, 1]
        (problem,) = store.view().problems
        assert problem.line == 2 and "limit" in problem.message
        assert store.load(store.view().summaries) == [record(0), record(1)]


@pytest.mark.parametrize("length", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 7])
def test_lines_may_end_anywhere_in_a_chunk(path, length):
    filler = b" " * (length - len(encode_line(record(0))))
    write(path, encode_line(record(0)) + filler, record(1), record(2))
    with JsonlStore(path) as store:
        assert store.load(store.view().summaries) == [record(0), record(1), record(2)]


def test_a_log_that_was_removed_or_replaced_says_so(path):
    with JsonlStore(path) as store:
        store.append([record(0)])
        path.rename(path.with_suffix(".old"))
        with pytest.raises(StoreError, match="removed or moved"):
            store.append([record(1)])
        path.write_bytes(b"")
        with pytest.raises(StoreError, match="taken its place"):
            store.append([record(1)])
    assert path.read_bytes() == b""


def test_a_log_that_became_shorter_says_so(path):
    with JsonlStore(path) as store:
        store.append([record(0), record(1)])
        store.view()
        os.truncate(path, 10)
        with pytest.raises((StoreError, NotALog)):
            store.view()


def test_places_that_cannot_be_opened(tmp_path):
    with pytest.raises(StoreError, match="create the folder"):
        JsonlStore(tmp_path / "no" / "log.jsonl")
    with pytest.raises(StoreError, match=r"cannot open log .*name a file"):
        JsonlStore(tmp_path)
    with pytest.raises(StoreError, match="correct the path"):
        JsonlStore(tmp_path / "missing.jsonl", read_only=True)
    with pytest.raises(StoreError, match="regular file"):
        JsonlStore(Path("/dev/null"))


def test_a_store_is_not_carried_over_a_fork(path):
    with JsonlStore(path) as store:
        child = os.fork()
        if child == 0:
            try:
                store.append([record(0)])
            except StoreError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_open_store_chooses_by_name(tmp_path):
    with open_store(tmp_path / "a.jsonl") as log:
        assert isinstance(log, JsonlStore)
    with open_store("memory:") as memory:
        assert type(memory).__name__ == "MemoryStore"
    with open_store(tmp_path / "a.db") as database:
        assert type(database).__name__ == "DatabaseStore"
    with pytest.raises(StoreError, match="use PATH"):
        open_store("nonsense://x")
    with pytest.raises(StoreError):
        open_store(tmp_path / "missing.jsonl", read_only=True)
    with pytest.raises(StoreError, match="no such file"):
        open_store(tmp_path / "missing.db", read_only=True)
    assert stat.S_ISREG((tmp_path / "a.db").stat().st_mode)
    (tmp_path / "text.db").write_text("not a database at all, just text" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_store(tmp_path / "text.db")
    with pytest.raises(StoreError, match="postgresql"):
        open_store("postgresql://nobody@127.0.0.1:1/none")
