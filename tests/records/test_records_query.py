"""Ranking, look-up and resume on summaries."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_samples import HERE, TARGET, record, records, workload

from records.memory import MemoryStore
from records.query import lookup
from records.ranking import best_per_task, group_by_task, rank, task_key
from records.resume import histories, history
from records.schema import Environment, Failure, Verdict

pytestmark = pytest.mark.pure

DEFAULT = {"kind": "default"}
KEY = workload().key


def sketch(number):
    return {"kind": "sketch", "sketch": "s", "row": [number]}


def summaries_of(*lines):
    with MemoryStore() as store:
        store.append(lines)
        return store.view().summaries


def elsewhere(**changes):
    return msgspec.structs.replace(HERE, **changes)


def find(summaries, environment=HERE, target=TARGET, key=KEY, **options):
    return lookup(summaries, key=key, target=target, environment=environment, **options)


def test_the_fastest_checked_plan_is_best():
    summaries = summaries_of(
        record(0, 0.3, plan=sketch(0)),
        record(1, 0.1, plan=sketch(1), verdict=None),
        record(2, 0.2, plan=sketch(2)),
        record(3, 0.05, plan=sketch(3), verdict=Verdict(ok=False)),
        record(4, None, plan=sketch(4)),
    )
    assert [r.summary.trial for r in rank(summaries)] == [2, 0, 1]
    assert [r.is_checked for r in rank(summaries)] == [True, True, False]


def test_a_wrong_result_outlaws_its_plan_even_if_it_once_passed():
    wrong = Failure(stage="wrong_result", message="differs")
    summaries = summaries_of(record(0, 0.1, plan=sketch(0)), record(1, None, plan=sketch(0), failure=wrong))
    assert rank(summaries) == []


def test_a_confirmation_replaces_a_lucky_trial():
    summaries = summaries_of(
        record(0, 0.10, plan=sketch(0)),
        record(1, 0.12, plan=sketch(1)),
        record(2, 0.15, plan=sketch(0), kind="confirmation", trace=None),
    )
    first, second = rank(summaries)
    assert (first.seconds, first.is_confirmed, second.summary.trial) == (0.15, True, 1)
    assert first.summary.has_trace, "the trace of the equal trial serves"
    assert first.measurements == 2


def test_what_won_in_turns_stands_before_what_was_fast_once():
    summaries = summaries_of(
        record(0, 0.20, plan=sketch(0)),
        record(1, 0.05, plan=sketch(1)),
        record(2, 0.19, plan=sketch(0), kind="confirmation"),
        record(3, 0.18, plan=sketch(2), kind="confirmation"),
    )
    assert [r.seconds for r in rank(summaries)] == [0.18, 0.19, 0.05]


def test_a_failed_confirmation_outlaws_its_plan():
    summaries = summaries_of(
        record(0, 0.1, plan=sketch(0)),
        record(1, None, plan=sketch(0), kind="confirmation", failure=Failure(stage="crash", message="x")),
        record(2, 0.2, plan=sketch(1)),
    )
    assert [r.summary.trial for r in rank(summaries)] == [2]


def test_the_baseline_competes():
    summaries = summaries_of(
        record(0, 0.1, plan=DEFAULT, kind="baseline", verdict=None, trace=None),
        record(1, 0.2, plan=sketch(0)),
    )
    assert rank(summaries)[0].summary.plan_key == "default"


def test_machines_threads_and_targets_are_kept_apart():
    summaries = summaries_of(
        record(0),
        record(1, environment=elsewhere(threads=1)),
        record(2, environment=elsewhere(cpu="Other")),
        record(3, target='{"kind":"llvm"}'),
        record(4, environment=elsewhere(host="renamed container")),
    )
    groups = group_by_task(summaries)
    assert [[s.trial for s in group] for group in groups.values()] == [[0, 4], [1], [2], [3]]
    assert len(best_per_task(summaries)) == 4


def test_lookup_gives_exact_before_compatible_ones_and_says_what_differs():
    summaries = summaries_of(
        record(0, 0.2),
        record(1, 0.1, environment=elsewhere(cpu="Sister CPU")),
        record(2, 0.05, target='{"kind":"llvm","mcpu":"znver4","num-cores":2}'),
    )
    found = find(summaries)
    assert [(m.summary.trial, m.is_exact) for m in found.matches] == [(0, True), (2, False), (1, False)]
    assert found.matches[0].note == ""
    assert "znver4" in found.matches[1].note and "Sister CPU" in found.matches[2].note
    assert not found.reason


def test_lookup_notes_another_compiler():
    (match,) = find(summaries_of(record(0, environment=elsewhere(tvm="0.26", llvm="21")))).matches
    assert match.is_exact and "TVM 0.26" in match.note and "LLVM 21" in match.note


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"workload": workload("00000000000000bb")},
            "no record of workload 00000000000000aa among 1 workloads",
        ),
        ({"environment": elsewhere(threads=4)}, "4 threads, wanted 2"),
        ({"environment": elsewhere(threads=1)}, "1 record: 1 thread, wanted 2"),
        ({"environment": elsewhere(isa="other", cpu="Old CPU")}, r"other instruction-set features \(Old CPU"),
        ({"environment": elsewhere(gpu="H100")}, "device H100, wanted none"),
        ({"target": '{"kind":"cuda"}'}, "target kind cuda, wanted llvm"),
        ({"seconds": None}, "no valid record .* among 1: 1 record: build"),
        ({"verdict": Verdict(ok=False)}, "wrong_result"),
    ],
)
def test_a_miss_has_its_reason(changes, reason):
    found = find(summaries_of(record(0, **changes)))
    assert found.matches == ()
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.reason)


def test_history_has_all_that_resume_needs():
    summaries = summaries_of(
        record(0, 0.5, plan=DEFAULT, kind="baseline"),
        record(1, 0.4, plan=sketch(1), round=0),
        record(2, None, plan=sketch(2), round=0),
        record(3, 0.2, plan=sketch(3), round=1),
        record(4, 0.25, plan=sketch(3), round=1, kind="confirmation"),
        record(5, 0.1, plan=sketch(5), environment=elsewhere(cpu="Other")),
    )
    task = task_key(KEY, TARGET, HERE)
    past = histories(summaries)[task]
    assert past.trials == 3 and past.failures == {"build": 1}
    assert past.baseline_seconds == 0.5
    assert past.best.seconds == 0.25
    assert list(past.best_after_trial) == [0.4, 0.4, 0.2]
    assert past.measured == {"default", *(record(0, plan=sketch(n)).plan_key for n in (1, 2, 3))}
    assert past.search_seconds == pytest.approx(0.5)
    empty = history(task, [])
    assert (empty.trials, empty.best) == (0, None)


@settings(max_examples=40)
@given(st.lists(records(), max_size=12), st.randoms(use_true_random=False))
def test_rankings_and_lookups_do_not_depend_on_the_order_of_records(lines, rng):
    shuffled = list(lines)
    rng.shuffle(shuffled)

    def answers(chosen):
        summaries = summaries_of(*chosen)
        best = {
            task: (r.seconds, r.summary.plan_key, r.is_checked)
            for task, r in best_per_task(summaries).items()
        }
        here = Environment(cpu="A", isa="x", cores=2, threads=2, tvm="1")
        found = [(m.summary.plan_key, m.ranked.seconds, m.is_exact) for m in find(summaries, here).matches]
        return best, found

    assert answers(lines) == answers(shuffled)


@settings(max_examples=40)
@given(st.lists(records(), max_size=12))
def test_what_is_looked_up_is_never_wrong_or_from_elsewhere(lines):
    here = Environment(cpu="A", isa="x", cores=2, threads=2, tvm="1")
    found = find(summaries_of(*lines), here)
    assert bool(found.matches) != bool(found.reason)
    for match in found.matches:
        there = match.summary.environment
        assert (there.isa, there.threads, match.summary.key) == ("x", 2, KEY)
        assert match.summary.is_valid and match.is_exact == (there.cpu == "A")
