"""Measuring good candidates on this machine: what is timed, checked, compared and accounted for."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from matmul_plans import ENTRY, matmul_task
from waiting import wait_until

from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import te
from search_space.workload import workload_of
from tuner.errors import JobFailed
from tuner.measure.base import MeasureTask
from tuner.measure.buffers import INPUT_SETS
from tuner.measure.build import Built
from tuner.measure.canary import DriftMeter
from tuner.measure.fork_runner import ForkRunner
from tuner.measure.kernels import LocalKernel
from tuner.measure.local import LocalMeasurer
from tuner.measure.messages import Channel, Message, Ran, Repeat
from tuner.measure.options import MeasureOptions
from tuner.measure.supervisor import Process, Supervisor
from tuner.measure.tasks import TaskTable
from tuner.measure.timing import Block, RacePolicy

pytestmark = pytest.mark.tvm

TASK = matmul_task()
GOOD = {"kind": "tiled"}
SLOW = {"kind": "slow", "times": 20}
OPTIONS = MeasureOptions(entry=ENTRY)


@pytest.fixture(scope="module")
def measurer() -> Iterator[LocalMeasurer]:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        yield measurer


def test_opening_times_the_untuned_program_and_keeps_references(measurer: LocalMeasurer) -> None:
    baseline = measurer.open(TASK)
    assert baseline.timing is not None
    assert baseline.seconds == baseline.timing.median
    assert baseline.checks == INPUT_SETS
    assert baseline.reference == "reordered"
    assert measurer.open(TASK) is baseline


def test_a_first_best_is_checked_on_every_input_set_a_contender_on_one_a_loser_on_none(
    measurer: LocalMeasurer,
) -> None:
    best = measurer.measure(TASK.key, [GOOD])[0]
    assert best.verdict is not None and best.verdict.ok
    assert best.verdict.checks == (*INPUT_SETS, "inputs", "guards")
    assert 0 <= best.verdict.max_rel_error <= best.verdict.tolerance
    contender = measurer.measure(TASK.key, [GOOD], incumbent_seconds=10.0)[0]
    assert not contender.is_quick
    assert contender.verdict is not None and contender.verdict.ok
    assert contender.verdict.checks == ("random", "inputs", "guards")
    loser = measurer.measure(TASK.key, [GOOD], incumbent_seconds=1e-9)[0]
    assert loser.is_quick
    assert loser.verdict is None


def test_a_title_is_only_given_after_every_check(measurer: LocalMeasurer) -> None:
    alone = measurer.compare(TASK.key, None, GOOD)
    assert alone.first is None and alone.second is not None and alone.ratio is None and alone.may_win
    assert alone.verdict is not None and alone.verdict.ok
    assert alone.verdict.checks == (*INPUT_SETS, "inputs", "guards")
    won = measurer.compare(TASK.key, SLOW, {"kind": "default"})
    assert won.may_win
    assert won.verdict is not None and won.verdict.checks == (*INPUT_SETS, "inputs", "guards")
    lost = measurer.compare(TASK.key, {"kind": "default"}, SLOW)
    assert not lost.may_win
    assert lost.verdict is None
    wrong = measurer.compare(TASK.key, SLOW, {"kind": "wrong"})
    assert wrong.failure is not None and wrong.failure.stage == "wrong_result"
    assert wrong.verdict is not None and not wrong.verdict.ok
    assert not wrong.may_win and wrong.ratio is None


def test_a_duel_runs_what_the_trials_have_built() -> None:
    with LocalMeasurer(OPTIONS) as measurer:
        measurer.open(TASK)
        measurer.measure(TASK.key, [GOOD])
        submitted: list[object] = []
        submit = measurer._builder.submit
        measurer._builder.submit = lambda key, plan: submitted.append(plan) or submit(key, plan)  # type: ignore[method-assign,func-returns-value]
        assert measurer.compare(TASK.key, None, GOOD).failure is None
        assert submitted == []
        holder = measurer._kept._holder
        assert holder is not None
        # The checks have put other inputs in; later runs must be timed with the random ones all the same.
        measurer.supervisor.stop(holder.handle, False)
        assert measurer._runner._check(holder.handle, ["random"]).ok
        assert measurer.compare(TASK.key, GOOD, {"kind": "default"}).failure is None
        assert submitted == [{"kind": "default"}]
        assert measurer.compare(TASK.key, {"kind": "default"}, GOOD).failure is None
        assert submitted == [{"kind": "default"}], "who lost is kept too"
        assert measurer._kept._holder is not None
        kept = measurer._kept._holder.handle
        os.kill(kept.pid, signal.SIGKILL)

        def is_noticed() -> bool:
            measurer.supervisor.poll(0.0)  # its server says so once it has buried it
            return bool(kept.is_gone)

        wait_until(is_noticed)
        assert measurer.compare(TASK.key, GOOD, SLOW).failure is None


def test_repeats_are_calls_as_a_program_makes_them() -> None:
    calls: list[tuple[object, ...]] = []
    kernel = LocalKernel(Built(None, lambda *tensors: calls.append(tensors), {}), ["a", "b"])
    assert len(kernel.repeat(Repeat(number=5, repeats=3))) == 3
    assert calls == [("a", "b")] * 15
    assert len(kernel.repeat(Repeat(number=5, repeats=3, warm=2))) == 3
    assert calls == [("a", "b")] * 32


@pytest.mark.parametrize(("seconds", "number", "warm"), [(20e-6, 50, 12), (0.004, 1, 1), (0.030, 1, 0)])
def test_a_short_kernel_runs_a_little_before_it_is_timed(seconds: float, number: int, warm: int) -> None:
    orders: list[Message] = []

    class Runner(ForkRunner):
        def ask(self, process: Process, order: Message, limit: float, meaning: str = "") -> Message:
            orders.append(order)
            return Ran([seconds] * 2)

    supervisor = Supervisor()
    runner = Runner(supervisor, TaskTable(supervisor, OPTIONS), OPTIONS)
    own, other = socket.socketpair()
    with own, other:
        child = Process(1, None, Channel(own), -1)
        assert runner._block(child, Block(number, 2), seconds) == [seconds] * 2
    assert orders == [Repeat(number, 2, warm=warm)]


def test_a_result_says_where_its_time_went(measurer: LocalMeasurer) -> None:
    result = measurer.measure(TASK.key, [GOOD])[0]
    assert {"generate", "lower", "llvm", "load", "first_run", "timing", "check"} <= set(result.stages)
    assert all(seconds >= 0 for seconds in result.stages.values())
    assert result.build_seconds > 0
    assert result.run_seconds > 0
    assert measurer.account.stage_seconds["llvm"] >= result.stages["llvm"]
    assert result.trace == "[]"
    assert result.seconds is not None and result.timing is not None
    assert result.seconds == pytest.approx(result.timing.median / result.drift)


def test_results_come_in_the_order_of_the_plans(measurer: LocalMeasurer) -> None:
    plans = [{"kind": "tiled", "mr": mr} for mr in (1, 2, 4, 8)] + [{"kind": "default"}, GOOD, GOOD]
    results = measurer.measure(TASK.key, plans)
    assert [r.plan for r in results] == plans
    assert all(r.timing is not None for r in results)


def test_comparing_finds_the_faster_plan(measurer: LocalMeasurer) -> None:
    # Both run on one thread and differ by work alone, so that a busy machine does not turn them round.
    comparison = measurer.compare(TASK.key, SLOW, {"kind": "default"})
    assert comparison.first is not None and comparison.second is not None
    assert len(comparison.first.runs_seconds) == len(comparison.second.runs_seconds) >= 7
    assert comparison.may_win
    assert comparison.ratio is not None and comparison.ratio < 0.9


def test_comparing_with_a_bad_plan_gives_its_failure(measurer: LocalMeasurer) -> None:
    comparison = measurer.compare(TASK.key, GOOD, {"kind": "abort"})
    assert comparison.ratio is None
    assert not comparison.is_separated
    assert comparison.failure is not None and comparison.failure.stage == "crash"


def test_a_task_that_is_not_open_is_refused(measurer: LocalMeasurer) -> None:
    with pytest.raises(KeyError, match="not open"):
        measurer.measure("0000", [GOOD])
    with pytest.raises(KeyError, match="not open"):
        measurer.compare("0000", GOOD, GOOD)


def test_flushed_caches_are_recorded_and_slower() -> None:
    options = replace(OPTIONS, race=RacePolicy(cache="flushed"), canary_seconds=0)
    with LocalMeasurer(options) as measurer:
        measurer.open(TASK)
        result = measurer.measure(TASK.key, [GOOD])[0]
    assert result.cache == "flushed"
    assert result.timing is not None


def test_a_slow_untuned_program_gives_a_lower_bound_and_references() -> None:
    with LocalMeasurer(replace(OPTIONS, baseline_seconds=0.01, canary_seconds=0)) as measurer:
        baseline = measurer.open(matmul_task(size=256, name="large"))
        assert baseline.is_lower_bound
        assert baseline.timing is None
        assert baseline.seconds == 0.01
        assert baseline.failure is not None and baseline.failure.stage == "timeout"
        assert baseline.checks == INPUT_SETS


def test_drift_of_the_machine_marks_results_and_is_taken_out(measurer: LocalMeasurer) -> None:
    real, sleep = measurer.drift._sample, measurer.drift._sleep
    for _ in range(3):
        measurer.drift.look()
    measurer.drift._sample = lambda: [2.0 * seconds for seconds in real()]
    measurer.drift._sleep = lambda _: None
    try:
        results = [measurer.measure(TASK.key, [GOOD])[0] for _ in range(3)]
    finally:
        measurer.drift._sample, measurer.drift._sleep = real, sleep
    assert results[-1].is_suspect
    assert results[-1].timing is not None and results[-1].seconds is not None
    assert results[-1].seconds == pytest.approx(results[-1].timing.median / results[-1].drift)
    assert results[-1].drift > 1.1
    assert results[-1].facts["drift"] == results[-1].drift
    assert measurer.account.suspects >= 1


def test_times_of_duels_are_those_of_the_clock(
    measurer: LocalMeasurer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurer._runner, "alternate", lambda builds, rounds: [[1.0] * 7, [2.0] * 7])
    monkeypatch.setattr(DriftMeter, "factor", 2.0)
    comparison = measurer.compare(TASK.key, GOOD, SLOW)
    assert comparison.first is not None and comparison.second is not None
    assert (comparison.first.median, comparison.second.median, comparison.ratio) == (1.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("entry", "program", "message"),
    [
        ("no_such_module:prepare", TASK.program, "preparing task bad failed.*no_such_module"),
        (ENTRY, "{}", "preparing task bad failed"),
    ],
)
def test_a_task_that_cannot_be_prepared_fails_the_job(entry: str, program: str, message: str) -> None:
    task = MeasureTask("bad", program, TASK.target, "bad", 2)
    with LocalMeasurer(replace(OPTIONS, entry=entry)) as measurer, pytest.raises(JobFailed, match=message):
        measurer.open(task)


def test_a_sum_of_millions_is_judged_by_a_reference_that_is_better_than_one_accumulator() -> None:
    def squares(size: int) -> MeasureTask:
        source = te.placeholder((size, size), name="A")
        i, j = te.reduce_axis((0, size), name="i"), te.reduce_axis((0, size), name="j")
        total = te.compute((1,), lambda _: te.sum(source[i, j] * source[i, j], axis=[i, j]), name="C")
        workload = workload_of(te.create_prim_func([source, total]), "squares")
        return MeasureTask(
            workload.key, workload.program(), target_text(resolve_target(None, 2)), "squares", 1
        )

    with LocalMeasurer(
        replace(OPTIONS, entry="search_space.candidate:prepare", canary_seconds=0)
    ) as measurer:
        baseline = measurer.open(squares(1024))
        assert baseline.reference == "partial sums"
        (result,) = measurer.measure(baseline.key, [{"kind": "sketch", "sketch": "factored", "row": [0, 1]}])
        assert result.failure is None and result.verdict is not None and result.verdict.ok
