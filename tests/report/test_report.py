"""Curves, causes, words and pages from records that were made by hand."""

from types import SimpleNamespace

import pytest
from record_samples import HERE, elsewhere, header, record, workload

from records.memory import MemoryStore
from records.schema import Failure, Verdict
from tuner.report.curves import curves_of, tuning_seconds
from tuner.report.explanation import explain
from tuner.report.failures import causes_of
from tuner.report.figures import tick_of
from tuner.report.page import page_of
from tuner.report.wording import trace_in_words

pytestmark = pytest.mark.pure

OTHER = workload("00000000000000bb", "<script>alert(1)</script>")


def store_of(*lines):
    store = MemoryStore()
    store.append(lines)
    return store


def failed(index, stage, message, **changes):
    return record(index, None, failure=Failure(stage=stage, message=message), **changes)


def test_curve_falls_from_the_untuned_time():
    baseline = record(9, 0.004, kind="baseline", plan={"kind": "default"}, time_unix=1000.0)
    store = store_of(
        header(), baseline, record(0, 0.005), record(1, 0.002), record(2, None), record(3, 0.003)
    )
    (curve,) = curves_of(store.view())
    assert [p.best_seconds for p in curve.points] == [0.004, 0.002, 0.002, 0.002]
    assert [p.seconds for p in curve.points] == [0.005, 0.002, None, 0.003]
    assert [p.stage for p in curve.points] == [None, None, "build", None]
    assert curve.failures == {"build": 1} and curve.speedup == 2.0


def test_wrong_results_count_as_failures_of_the_curve():
    wrong = record(1, 0.001, verdict=Verdict(ok=False, checks=("random",)))
    (curve,) = curves_of(store_of(header(), record(0, 0.004), wrong).view())
    assert [p.best_seconds for p in curve.points] == [0.004, 0.004]
    assert curve.points[1].stage == "wrong_result"


def test_pauses_between_sessions_are_left_out():
    store = store_of(
        header("s1", time_unix=1000.0),
        record(0, 0.003, time_unix=1010.0),
        header("s2", time_unix=9000.0),
        record(1, 0.002, session="s2", time_unix=9005.0),
    )
    (curve,) = curves_of(store.view())
    assert [p.elapsed_seconds for p in curve.points] == [10.0, 15.0]
    assert tuning_seconds(store.view()) == 15.0


def test_machines_are_tasks_of_their_own():
    other = record(1, 0.002, environment=elsewhere(HERE, threads=4))
    assert [c.threads for c in curves_of(store_of(record(0, 0.003), other).view())] == [2, 4]


def test_nothing_to_report():
    store = store_of(header())
    assert curves_of(store.view()) == [] and tuning_seconds(store.view()) == 0.0


def test_causes_are_grouped_without_their_numbers():
    store = store_of(
        failed(0, "build", "axis 3 of 17 is too long"),
        failed(1, "build", "axis 4 of 2.5e-3 is too long"),
        failed(2, "crash", "signal 11"),
        failed(3, "build", "other", workload=OTHER),
    )
    first, *rest = causes_of(store, store.view())
    assert (first.stage, first.count, first.message) == ("build", 2, "axis 3 of 17 is too long")
    assert [cause.count for cause in rest] == [1, 1]
    assert [c.message for c in causes_of(store, store.view(), OTHER.key)] == ["other"]


def test_trace_in_words():
    trace = [
        [
            ["GetSBlock", [], ["C", "main"], ["b0"]],
            ["GetLoops", ["b0"], [], ["l1", "l2", "l3"]],
            ["Split", ["l1", 4, 8], [True, False], ["l4", "l5"]],
            ["Split", ["l2", "None", 16], [True, False], ["l6", "l7"]],
            ["Reorder", ["l4", "l6", "l5", "l3", "l7"], [], []],
            ["Fuse", ["l4", "l6"], [1], ["l8"]],
            ["Parallel", ["l8"], [], []],
            ["Vectorize", ["l7"], [], []],
            ["CacheWrite", ["b0", []], [0, "global"], ["b1"]],
            ["ReverseComputeAt", ["b1", "l8"], [1, -1], []],
            ["DecomposeReduction", ["b0", "l3"], [], ["b2"]],
            ["StorageAlign", ["b1", 0, 1, 32, 8], [], []],
        ],
        [],
    ]
    assert trace_in_words(trace) == [
        "C loop 0 split into 4 x 8",
        "C loop 1 split into rest x 16",
        "C loop 0 part 1 and C loop 1 part 1 in parallel",
        "C loop 1 part 2 vectorised (16)",
        "C writes to a buffer first",
        "buffer of C written back inside C loop 0 part 1 and C loop 1 part 1",
        "C starts its sums outside C loop 2",
        "StorageAlign buffer of C",
    ]


ODD = [None, 3, ["X"], ["Split", [], [], []], ["Fuse", ["a"], [], []], ["GetLoops", 3, 4, 5]]


@pytest.mark.parametrize("trace", [None, [], {}, [ODD], [5], [[[1, 2, 3, 4]]]])
def test_odd_traces_are_no_errors(trace):
    assert isinstance(trace_in_words(trace), list)


def test_explanation():
    store = store_of(
        header(),
        record(9, 0.004, kind="baseline", plan={"kind": "default"}),
        record(0, 0.003),
        record(1, 0.002, plan={"kind": "sketch", "sketch": "other", "row": [1]}),
        failed(2, "timeout", "took too long"),
    )
    (task,) = explain(store)
    assert task.sketch == "other" and task.best.seconds == 0.002 and task.baseline_seconds == 0.004
    assert task.sketches == {"tiled": (2, 0.003), "other": (1, 0.002)}
    assert task.trials == 3 and task.failures == {"timeout": 1} and task.causes[0].message == "took too long"
    assert explain(store, "nothing") == [] and len(explain(store, "gmm")) == 1


def test_page_escapes_what_a_log_says():
    evil = failed(3, "crash", "<img src=x onerror=alert(1)>")
    page = page_of(store_of(header(), record(0, 0.003), record(1, 0.001, workload=OTHER), evil))
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;" in page and "&lt;img" in page
    assert page.count("<svg") == 2


@pytest.mark.parametrize(
    ("limits", "labels"),
    [((20.0, 300.0), ["20", "", "50", "100", "200"]), ((20.0, 120.0), ["20", "30", "50", "100", "200"])],
)
def test_logarithmic_axes_have_plain_numbers(limits, labels):
    tick = tick_of(SimpleNamespace(get_ylim=lambda: limits))
    assert [tick(value, 0) for value in (20.0, 30.0, 50.0, 100.0, 200.0)] == labels
