"""What every measurer must do, the fake one included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tuner.measure.base import Failure, Measurer, MeasureResult, MeasureTask
from tuner.measure.replay import ReplayMeasurer, plan_key
from tuner.measure.timing import summarise

pytestmark = pytest.mark.tvm

GOOD = {"kind": "tiled"}
DEFAULT = {"kind": "default"}
SLOW = {"kind": "slow", "times": 20}
"""Twenty times the work of the untuned program, on one thread like it: no load turns the two round."""
BAD = {"kind": "raise"}


@pytest.fixture(scope="module")
def task() -> MeasureTask:
    import sys

    folder = str(Path(__file__).parent.parent / "measure")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from matmul_plans import matmul_task

    return matmul_task()


def local(task: MeasureTask) -> Measurer:
    from tuner.measure.local import LocalMeasurer
    from tuner.measure.options import MeasureOptions

    return LocalMeasurer(MeasureOptions(entry="matmul_plans:prepare"))


def replayed(task: MeasureTask) -> Measurer:
    results = {
        plan_key(GOOD): MeasureResult(GOOD, timing=summarise([1.0, 1.1])),
        plan_key(DEFAULT): MeasureResult(DEFAULT, timing=summarise([9.0, 9.5])),
        plan_key(SLOW): MeasureResult(SLOW, timing=summarise([180.0, 190.0])),
        plan_key(BAD): MeasureResult(BAD, failure=Failure("generate", "cannot be materialised")),
    }
    return ReplayMeasurer({task.key: results})


MEASURERS: dict[str, Callable[[MeasureTask], Measurer]] = {"local": local, "replay": replayed}


@pytest.fixture(scope="module", params=sorted(MEASURERS))
def measurer(request: pytest.FixtureRequest, task: MeasureTask) -> Iterator[Measurer]:
    with MEASURERS[request.param](task) as measurer:
        yield measurer


def test_open_gives_the_untuned_time_and_may_be_repeated(measurer: Measurer, task: MeasureTask) -> None:
    baseline = measurer.open(task)
    assert baseline.key == task.key
    assert baseline.seconds > 0
    assert measurer.open(task) == baseline


def test_measure_gives_one_result_per_plan_in_order(measurer: Measurer, task: MeasureTask) -> None:
    measurer.open(task)
    plans = [GOOD, BAD, DEFAULT, GOOD]
    results = measurer.measure(task.key, plans)
    assert [result.plan for result in results] == plans
    assert [result.timing is None for result in results] == [False, True, False, False]
    assert measurer.measure(task.key, []) == []


def test_a_failure_has_a_stage_and_a_message(measurer: Measurer, task: MeasureTask) -> None:
    measurer.open(task)
    _, result = measurer.measure(task.key, [GOOD, BAD])
    assert result.failure is not None
    assert result.failure.stage == "generate"
    assert "cannot be materialised" in result.failure.message


def test_compare_gives_the_ratio_of_second_to_first(measurer: Measurer, task: MeasureTask) -> None:
    measurer.open(task)
    comparison = measurer.compare(task.key, SLOW, DEFAULT)
    assert comparison.ratio is not None
    assert comparison.low is not None and comparison.high is not None
    assert comparison.low <= comparison.ratio <= comparison.high < 1.0
    assert comparison.is_separated
    failed = measurer.compare(task.key, GOOD, BAD)
    assert failed.ratio is None
    assert failed.failure is not None


def test_a_task_that_was_not_opened_is_a_key_error(measurer: Measurer) -> None:
    with pytest.raises(KeyError, match="not open"):
        measurer.measure("unknown", [GOOD])
    with pytest.raises(KeyError, match="not open"):
        measurer.compare("unknown", GOOD, GOOD)


@pytest.mark.parametrize("name", sorted(MEASURERS))
def test_closing_twice_is_harmless(name: str, task: MeasureTask) -> None:
    measurer = MEASURERS[name](task)
    measurer.open(task)
    measurer.close()
    measurer.close()
