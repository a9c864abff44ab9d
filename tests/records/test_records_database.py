"""What only databases have: rows of other programs, damage inside, addresses."""

import resource

import pytest
import sqlalchemy as sa
from record_samples import header, record

from records.database import DatabaseStore
from records.encoding import encode_line
from records.errors import InvalidLine, NewerLog, StoreError
from records.jsonl import JsonlStore
from records.merge import merge

pytestmark = pytest.mark.pure


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/runs.db"


def execute(url, statement, **values):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)
    engine.dispose()


def test_equal_lines_are_rows_once(url, tmp_path):
    with DatabaseStore(url) as store, JsonlStore(tmp_path / "a.jsonl") as log:
        log.append([header(), record(0), record(1)])
        for _ in range(2):
            store.append([header(), record(0), record(0)])
        assert len(store.view().summaries) == len(store.view().headers) == 1
        assert merge([log], store).added == 1
        assert merge([log], store).added == 0


def test_a_database_of_a_newer_program_is_refused(url):
    with DatabaseStore(url) as store:
        store.append([record(0)])
        execute(
            url, "INSERT INTO tirtune_lines (identity, type, schema, line) VALUES ('x', 'record', 9, '{}')"
        )
        with pytest.raises(NewerLog, match="update tirtune"):
            store.view()
    with pytest.raises(NewerLog, match="schema version 9"):
        DatabaseStore(url)


def test_corrupt_rows_are_skipped_and_reported(url):
    with DatabaseStore(url) as store:
        store.append([header(), record(0), record(1), record(2)])
        execute(url, "UPDATE tirtune_lines SET line = 'garbage' WHERE id IN (1, 2)")
        execute(
            url,
            'UPDATE tirtune_lines SET line = replace(line, \'"plan":{\', \'"plan":[],"x":{\') WHERE id = 3',
        )
        view = store.view()
        assert [s.trial for s in view.summaries] == [1, 2]
        assert sorted(problem.line for problem in view.problems) == [1, 2]
        with pytest.raises(InvalidLine, match="plan"):
            store.load(view.summaries)
        assert store.load(view.summaries[1:]) == [record(2)]


def test_a_row_that_was_deleted_says_so(url):
    with DatabaseStore(url) as store:
        store.append([record(0)])
        summaries = store.view().summaries
        execute(url, "DELETE FROM tirtune_lines")
        with pytest.raises(StoreError, match="look again"):
            store.load(summaries)


def test_reading_only_changes_nothing(url, tmp_path):
    with DatabaseStore(url) as store:
        store.append([record(0)])
    with DatabaseStore(url, read_only=True) as store:
        assert len(store.view().summaries) == 1
        with pytest.raises(StoreError, match="reading only"):
            store.append([record(1)])
    execute(f"sqlite:///{tmp_path}/other.db", "CREATE TABLE something (x INTEGER)")
    with pytest.raises(StoreError, match="holds no records"):
        DatabaseStore(f"sqlite:///{tmp_path}/other.db", read_only=True)


def test_sqlite_keeps_a_log_of_changes_and_syncs_it(url):
    with DatabaseStore(url) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_full_disk_loses_nothing(url, tmp_path):
    with DatabaseStore(url) as store:
        store.append([record(0)])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = max(file.stat().st_size for file in tmp_path.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, hard))
        try:
            with pytest.raises(StoreError, match="space left"):
                for first in range(1, 10_000, 50):
                    store.append([record(first + i) for i in range(50)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        kept = len(store.view().summaries)
        assert kept % 50 == 1
        store.append([record(20_000)])
        assert len(store.view().summaries) == kept + 1


def test_passwords_are_not_shown():
    with pytest.raises(StoreError) as caught:
        DatabaseStore("postgresql://someone:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_rows_hold_the_lines_of_a_log(url):
    with DatabaseStore(url) as store:
        store.append([record(0)])
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        text = connection.execute(sa.text("SELECT line FROM tirtune_lines")).scalar()
    engine.dispose()
    assert text.encode() == encode_line(record(0))
