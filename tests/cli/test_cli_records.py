"""``tirtune records`` as people use it: odd files, odd places, what is said and what stays untouched."""

import gzip
import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "records"))  # the samples live beside their tests

import postgres_server
from record_samples import header, program, record

from records.encoding import encode_line
from records.jsonl import JsonlStore

pytestmark = pytest.mark.pure


@pytest.fixture
def log(tmp_path):
    """A log of one task: a baseline, three trials, one of them failed."""
    path = tmp_path / "run.jsonl"
    with JsonlStore(path) as store:
        store.append([header(), program(), record(0, 0.01, kind="baseline", plan={"kind": "default"})])
        store.append([record(1, 0.004), record(2, None), record(3, 0.002)])
    return path


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (gzip.compress(b"{}"), "compressed: unpack it"),
        ('{"type":"header"}'.encode("utf-16"), "UTF-8"),
        (b'[0, ["trace"]]\n', "tirtune records import"),
        (b"SQLite format 3\0" + bytes(100), "sqlite:///"),
        (b"hello\n", "name a tirtune log"),
    ],
)
def test_a_file_of_another_kind_says_what_to_do(refused, tmp_path, content, hint):
    (tmp_path / "odd.jsonl").write_bytes(content)
    line = refused("records", "best", "odd.jsonl")
    assert "odd.jsonl is not a tuning log" in line and hint in line
    assert (tmp_path / "odd.jsonl").read_bytes() == content


def test_a_pipe_is_refused_without_waiting_for_its_writer(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused("records", "best", "pipe")


def test_a_place_that_cannot_be(refused, tmp_path):
    assert "name is empty" in refused("records", "best", "")
    assert "shorter name" in refused("records", "best", "x" * 300)
    line = refused("records", "best", "gone.jsonl")
    assert "correct the path" in line and "create" not in line
    (tmp_path / "file").write_text("")
    assert "correct the path" in refused("records", "best", "file/run.jsonl")
    assert "keeps nothing" in refused("records", "best", "memory:")


@pytest.mark.parametrize("url", ["foo://u:secret@host/x", "oracle://u:secret@host/x"])
def test_an_unknown_database_lists_the_known_and_hides_the_password(refused, url):
    line = refused("records", "best", url)
    assert "unknown kind of database" in line and "postgresql://" in line and "secret" not in line


def test_passwords_are_hidden_in_every_message(refused, log):
    for url in (
        "postgresql://u:secret@127.0.0.1:port/x",
        "postgresql://u:secret@127.0.0.1:1/x",
        "postgresql://u@127.0.0.1:1/x?password=secret",
    ):
        for words in (("best", url), ("merge", log, "-o", url), ("export", url, "-o", "t.csv")):
            assert "secret" not in refused("records", *words)
    assert "secret" not in refused("records", "export", log, "-o", "postgresql://u:secret@h/x")


def test_an_sqlite_database_that_is_no_place_for_records(refused, tmp_path, log):
    assert "names no file" in refused("records", "merge", log, "-o", "sqlite://")
    assert "names no file" in refused("records", "merge", log, "-o", "sqlite:///:memory:")
    assert "folder no does not exist" in refused("records", "merge", log, "-o", "sqlite:///no/x.db")
    (tmp_path / "folder.db").mkdir()
    assert "is a folder" in refused("records", "merge", log, "-o", "folder.db")
    (tmp_path / "fake.db").write_bytes(b"no database at all " * 60)
    assert "not a database" in refused("records", "best", "fake.db")


def test_reading_leaves_a_foreign_database_untouched(refused, tmp_path):
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE something (x INTEGER)")
    connection.commit()
    connection.close()
    before = (tmp_path / "other.db").read_bytes()
    assert "holds no records" in refused("records", "best", "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_log_is_never_its_own_output(refused, tmp_path, log):
    (tmp_path / "link.jsonl").symlink_to(log)
    os.link(log, tmp_path / "hard.jsonl")
    before = log.read_bytes()
    for output in ("run.jsonl", "./run.jsonl", log, "link.jsonl", "hard.jsonl"):
        assert "is a log to read" in refused("records", "merge", "run.jsonl", "-o", output)
        assert "is a log to read" in refused("records", "prune", "run.jsonl", "-o", output)
        words = ("records", "verify", "run.jsonl", "--revalidate", "-o", output)
        assert "is a log to read" in refused(*words)
    assert log.read_bytes() == before


def test_one_database_has_many_names(refused, tirtune, tmp_path, log):
    assert tirtune("records", "merge", log, "-o", "runs.db").code == 0
    for output in ("sqlite:///runs.db", f"sqlite:///{tmp_path}/runs.db", "./runs.db"):
        assert "is a log to read" in refused("records", "prune", "runs.db", "-o", output)


def test_prune_writes_new_logs_only(refused, tirtune, log):
    assert tirtune("records", "prune", log, "-o", "small.jsonl", "--keep", 1).code == 0
    assert "holds 2 records already" in refused("records", "prune", log, "-o", "small.jsonl")


def test_logs_without_records_say_so(tirtune, tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "started.jsonl").write_bytes(encode_line(header()) + b"\n")
    with JsonlStore(tmp_path / "failed.jsonl") as store:
        store.append([header(), record(0, None)])
    for name in ("empty.jsonl", "started.jsonl"):
        done = tirtune("records", "best", name)
        assert done.code == 0 and "nothing was measured" in done.out and "speed-up" not in done.out
        done = tirtune("records", "stats", name)
        assert done.code == 0 and len(done.out.splitlines()) == 1 and "0 records" in done.out
        assert tirtune("records", "best", name, "--json").json == {"best": []}
        assert tirtune("records", "verify", name).code == 0
    assert "nothing that was measured is valid" in tirtune("records", "best", "failed.jsonl").out


def test_best_names_the_tasks_when_none_fits(refused, log):
    assert "'conv' is no task" in refused("records", "best", log, "--workload", "conv")
    assert "tasks: gmm:1,8,8,8" in refused("records", "best", log, "--workload", "conv")


def test_best_of_several_logs_says_which(tirtune, tmp_path, log):
    assert tirtune("records", "prune", log, "-o", "small.jsonl").code == 0
    text = tirtune("records", "best", log, "small.jsonl").out
    assert "small.jsonl" in text and "run.jsonl" in text
    assert "run.jsonl" not in tirtune("records", "best", log).out


def test_show_finds_parts_of_names_and_says_how_many_there_are(tirtune, refused, log):
    done = tirtune("records", "show", log, "gmm", "--limit", 2)
    assert done.out.count('"plan_key"') == 2
    assert "2 of 4 records shown: see the rest with --limit 4" in done.err
    assert tirtune("records", "show", log, "gmm", "--json").json["matches"] == 4
    assert "--limit" in refused("records", "show", log, "gmm", "--limit", "-1")
    assert "RECORD is empty" in refused("records", "show", log, "")


def test_counts_are_english(tirtune, log):
    assert "1 session, 1 program, 0 problems" in tirtune("records", "stats", log).out


def test_verify_says_how_to_save_what_is_whole(tirtune, tmp_path, log):
    lines = log.read_bytes().splitlines(keepends=True)
    damaged = json.loads(lines[3])
    damaged["workload"]["name"] = 7
    (tmp_path / "bad.jsonl").write_bytes(
        b"".join([*lines[:3], json.dumps(damaged).encode() + b"\n", *lines[4:], lines[3][:90]])
    )
    done = tirtune("records", "verify", "bad.jsonl")
    assert done.code == 1
    assert "bad.jsonl:4: " in done.err and "workload.name" in done.err
    assert "bad.jsonl:7: left out an unfinished last line" in done.err
    assert "tirtune records merge bad.jsonl -o NEW.jsonl" in done.out
    assert tirtune("records", "merge", "bad.jsonl", "-o", "new.jsonl").code == 0
    assert tirtune("records", "verify", "new.jsonl").code == 0


def test_export_refuses_what_it_would_not_make(refused, tmp_path, log):
    assert "records merge" in refused("records", "export", log, "-o", "sqlite:///x.db")
    assert "records merge" in refused("records", "export", log, "-o", "x.db")
    line = refused("records", "export", log, "-o", "table.xlsx")
    assert ".csv" in line and ".parquet" in line and "metaschedule" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.jsonl"]


def test_parquet_holds_every_record(tirtune, tmp_path, log):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra store)")
    done = tirtune("records", "export", log, "-o", "table.parquet", "--json")
    assert done.code == 0 and done.json["records"] == 4
    assert parquet.read_table(tmp_path / "table.parquet")["trial"].to_pylist() == [0, 1, 2, 3]


def test_a_database_that_is_not_there_is_one_line(refused):
    line = refused("records", "best", "postgresql://nobody@127.0.0.1:1/none")
    assert "postgresql://nobody@127.0.0.1:1/none" in line and "check the address" in line


@pytest.mark.skipif(bool(postgres_server.missing()), reason=postgres_server.missing() or "present")
def test_every_command_works_on_a_server(tirtune, refused, tmp_path, log):
    with postgres_server.running(tmp_path) as url:
        assert "holds no records" in refused("records", "best", url)
        assert tirtune("records", "merge", log, "-o", url, "--json").json["added"] == 4
        assert tirtune("records", "merge", log, "-o", url, "--json").json["added"] == 0
        assert tirtune("records", "best", url, "--json").json["best"][0]["seconds"] == 0.002
        assert tirtune("records", "stats", url, "--json").json["logs"][0]["records"] == 4
        assert len(tirtune("records", "show", url, "gmm", "--json").json["records"]) == 4
        assert tirtune("records", "verify", url, "--json").json["is_sound"]
        assert tirtune("records", "export", url, "-o", "t.csv", "--json").json["records"] == 4
        assert tirtune("records", "prune", url, "-o", "small.jsonl", "--json").json["kept"] == 3
        assert tirtune("records", "merge", url, "-o", "back.jsonl", "--json").json["added"] == 4
        assert tirtune("records", "merge", log, "-o", "all.jsonl").code == 0
        assert (tmp_path / "back.jsonl").read_bytes() == (tmp_path / "all.jsonl").read_bytes()
