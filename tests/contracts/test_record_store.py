"""What every record store must do; each implementation runs all of it."""

import multiprocessing
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "records"))  # the samples live beside their tests

import postgres_server
from record_samples import TARGET, header, program, record, workload

from records.database import DatabaseStore
from records.encoding import encode_line
from records.errors import InvalidLine, StoreError
from records.jsonl import JsonlStore
from records.memory import MemoryStore
from records.store import Query, RecordStore

pytestmark = pytest.mark.pure


class Place:
    """Somewhere to open a store, again and again."""

    def __init__(self, kind, where):
        self.kind, self.where = kind, where

    def open(self):
        return {
            "jsonl": JsonlStore,
            "sqlite": DatabaseStore,
            "postgresql": DatabaseStore,
            "memory": MemoryStore,
        }[self.kind](self.where)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    with postgres_server.running(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["jsonl", "memory", "sqlite", "postgresql"])
def place(request, tmp_path):
    if request.param == "postgresql":
        reason = postgres_server.missing()
        if reason:
            pytest.skip(reason)
        url = postgres_server.fresh_database(request.getfixturevalue("postgres"))
        return Place("postgresql", url)
    wheres = {"jsonl": tmp_path / "log.jsonl", "memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/runs.db"}
    return Place(request.param, wheres[request.param])


@pytest.fixture
def durable(place):
    if place.kind == "memory":
        pytest.skip("a memory store has no life after close")
    return place


def test_it_is_a_store(place):
    store = place.open()
    assert isinstance(store, RecordStore)
    store.close()


def test_records_come_back_equal_and_in_order(place):
    written = [record(i, 0.001 * (i + 1) if i % 3 else None) for i in range(10)]
    with place.open() as store:
        store.append([header(), program(), *written[:4]])
        store.append(written[4:])
        view = store.view()
        assert store.load(view.summaries) == written
        assert list(view.headers) == [header()]
        assert dict(view.programs) == {program().workload.key: program()}
        assert not view.problems


def test_summaries_say_what_records_say(place):
    with place.open() as store:
        store.append([record(3, 0.5), record(4, None)])
        good, bad = store.view().summaries
    assert (good.key, good.name, good.target, good.threads) == (workload().key, workload().name, TARGET, 2)
    assert (good.median_seconds, good.stage, good.ok, good.has_trace) == (0.5, None, True, True)
    assert (bad.median_seconds, bad.stage, bad.ok, bad.has_trace) == (None, "build", None, False)
    assert good.is_valid and not bad.is_valid
    assert (good.search_seconds, good.build_seconds, good.run_seconds) == (0.1, 0.2, 0.3)
    assert good.plan_key == record(3).plan_key


def test_load_takes_any_order_and_repeats(place):
    with place.open() as store:
        store.append([record(i) for i in range(5)])
        summaries = store.view().summaries
        chosen = [summaries[3], summaries[0], summaries[3]]
        assert store.load(chosen) == [record(3), record(0), record(3)]
        assert store.load([]) == []


def test_queries_filter(place):
    other = workload("00000000000000bb")
    with place.open() as store:
        store.append(
            [
                record(0),
                record(1, workload=other),
                record(2, session="s2"),
                record(3, target='{"kind":"cuda"}'),
            ]
        )

        def trials(**query):
            return [s.trial for s in store.view(Query(**query)).summaries]

        assert trials() == [0, 1, 2, 3]
        assert trials(keys=frozenset([other.key])) == [1]
        assert trials(keys=frozenset()) == []
        assert trials(session="s2") == [2]
        assert trials(target='{"kind":"cuda"}') == [3]
        assert trials(threads=2) == [0, 1, 2, 3]
        assert trials(threads=1) == []


def test_programs_are_kept_once(place):
    with place.open() as store:
        store.append([program(), program()])
        store.append([program()])
        view = store.view()
        assert len(view.programs) == 1
        assert view.programs[program().workload.key] == program()
        with pytest.raises(KeyError):
            view.programs["nothing"]


def test_a_bad_line_stores_nothing_of_its_batch(place):
    with place.open() as store:
        with pytest.raises(InvalidLine, match=r"timing\.runs_seconds"):
            store.append([record(0), record(1, float("nan"))])
        with pytest.raises(InvalidLine, match="cannot be stored"):
            store.append([record(0), header(options={"x": object()})])
        with pytest.raises(InvalidLine, match="limit"):
            store.append([record(0), header(options={"x": "a" * (9 << 20)})])
        assert not store.view().summaries
        store.append([record(0)])
        assert len(store.view().summaries) == 1


def test_an_empty_batch_is_fine(place):
    with place.open() as store:
        store.append([])
        assert not store.view().summaries


def test_a_closed_store_says_so(place):
    store = place.open()
    store.close()
    store.close()
    with pytest.raises(StoreError, match="open"):
        store.append([record(0)])
    with pytest.raises(StoreError, match="open"):
        store.view()


def test_everything_is_there_after_reopening(durable):
    with durable.open() as store:
        store.append([header(), program(), record(0)])
    with durable.open() as store:
        store.append([program(), record(1)])
    with durable.open() as store:
        view = store.view()
        assert store.load(view.summaries) == [record(0), record(1)]
        assert len(view.headers) == len(view.programs) == 1


def test_two_stores_see_each_other(durable):
    with durable.open() as one, durable.open() as two:
        one.append([record(0)])
        two.append([record(1)])
        one.append([record(2)])
        assert [s.trial for s in one.view().summaries] == [0, 1, 2]
        assert two.load(two.view().summaries) == [record(0), record(1), record(2)]


def test_threads_may_share_a_store(place):
    with place.open() as store:
        failures = []

        def work(number):
            try:
                for i in range(10):
                    store.append([record(number * 100 + i)])
                    store.load(store.view().summaries[-1:])
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert sorted(s.trial for s in store.view().summaries) == sorted(
            n * 100 + i for n in range(4) for i in range(10)
        )


def _write(place, number, count):
    with place.open() as store:
        for i in range(count):
            store.append([program(), record(number * 1000 + i), record(number * 1000 + 500 + i)])


def test_eight_processes_lose_nothing(durable):
    count = 12
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(durable, n, count)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8
    expected = {n * 1000 + half + i for n in range(8) for half in (0, 500) for i in range(count)}
    with durable.open() as store:
        view = store.view()
        assert {s.trial for s in view.summaries} == expected
        assert {encode_line(r) for r in store.load(view.summaries)} == {
            encode_line(record(t)) for t in expected
        }
        assert not view.problems
