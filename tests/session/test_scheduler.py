"""The task scheduler and the objectives."""

import numpy as np
import pytest

from tuner.errors import UserError
from tuner.objective import (
    Custom,
    EarlyStop,
    GeometricMean,
    Latency,
    ObjectiveInput,
    Requirement,
    objective_of,
)
from tuner.scheduler import GradientScheduler, TaskCurve

pytestmark = pytest.mark.pure

BASE = np.array([1.0])


def scheduler(objective: object = None) -> GradientScheduler:
    return GradientScheduler(objective or Latency(), np.random.default_rng(0))  # type: ignore[arg-type]


def curve(best: list[float], calls: float = 1.0, flops: float = 1e9, family: str = "a") -> TaskCurve:
    return TaskCurve(flops, (calls,), family, list(best))


def test_every_task_gets_a_batch_first() -> None:
    tasks = [curve([0.5]), curve([]), curve([])]
    assert scheduler().choose(tasks, BASE) == 1
    tasks[1].best.append(1.0)
    assert scheduler().choose(tasks, BASE) == 2


def test_the_heavier_of_equal_tasks_is_preferred() -> None:
    tasks = [curve([1e-3, 1e-3], calls=1, family="a"), curve([1e-3, 1e-3], calls=20, family="b")]
    picks = [scheduler().choose(tasks, BASE) for _ in range(10)]
    assert picks.count(1) >= 8


def test_a_task_far_below_its_similar_ones_is_preferred() -> None:
    slow, fast = curve([1e-2] * 4, flops=1e9), curve([1e-3] * 4, flops=1e9)
    gains = scheduler().gains([slow, fast], BASE)
    assert gains[0] > gains[1]


def test_exhausted_tasks_are_left_alone() -> None:
    tasks = [curve([1.0]), curve([1.0])]
    tasks[0].exhausted = True
    assert scheduler().choose(tasks, BASE) == 1
    tasks[1].exhausted = True
    assert scheduler().choose(tasks, BASE) is None


def test_tasks_in_which_nothing_worked_do_not_poison_the_gains() -> None:
    tasks = [curve([float("inf")] * 2), curve([1e-3] * 2)]
    gains = scheduler().gains(tasks, BASE)
    assert np.isfinite(gains).all()
    assert gains[1] > gains[0] > 0


def state(latencies: list[float], calls: list[list[float]] | None = None) -> ObjectiveInput:
    matrix = np.array(calls or [[1.0] * len(latencies)])
    return ObjectiveInput(
        matrix, np.array(latencies), np.full(len(matrix), 1.0), np.array([False] * len(latencies))
    )


@pytest.mark.parametrize(
    "objective", [Latency(), Requirement(0.1), GeometricMean(), EarlyStop(), Custom(lambda m: sum(m) ** 2)]
)
def test_slopes_are_the_derivative_of_the_value(objective: object) -> None:
    here = state([0.2, 0.3], [[2.0, 0.0], [1.0, 3.0]])
    slopes = objective.slopes(here)  # type: ignore[attr-defined]
    for t in range(2):
        moved = here.latencies.copy()
        moved[t] += 1e-6
        other = ObjectiveInput(here.calls, moved, here.baselines, here.stalled)
        numeric = (objective.value(other) - objective.value(here)) / 1e-6  # type: ignore[attr-defined]
        assert slopes[t] == pytest.approx(numeric, rel=1e-2)


def test_a_met_requirement_needs_no_more() -> None:
    assert Requirement(1.0).slopes(state([0.1, 0.2])).tolist() == [0.0, 0.0]
    assert scheduler(Requirement(1.0)).choose([curve([0.1]), curve([0.2])], BASE) is None


def test_stalled_tasks_stop_counting_under_early_stop() -> None:
    tasks = [curve([1e-3] * 10), curve([2e-3, 1e-3])]
    assert tasks[0].is_stalled
    gains = scheduler(EarlyStop()).gains(tasks, BASE)
    assert gains[0] == 0 < gains[1]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("latency", Latency),
        ("geomean", GeometricMean),
        ("early-stop", EarlyStop),
        ("requirement:20ms", Requirement),
    ],
)
def test_objectives_by_name(text: str, kind: type) -> None:
    assert isinstance(objective_of(text), kind)


def test_requirement_units() -> None:
    assert objective_of("requirement:20ms") == Requirement(0.02)
    assert objective_of("requirement:500us") == Requirement(0.0005)


@pytest.mark.parametrize(
    "text", ["speed", "requirement:", "requirement:-1ms", "requirement:5", "requirement:0ms"]
)
def test_bad_objectives_are_named(text: str) -> None:
    with pytest.raises(UserError, match=text.split(":")[0]):
        objective_of(text)


def test_a_function_is_an_objective() -> None:
    assert objective_of(lambda models: max(models)).value(state([0.2, 0.3])) == 0.5


@pytest.mark.parametrize("returned", [None, "fast", float("nan")])
def test_a_function_that_returns_no_number_is_refused_before_anything_is_measured(returned: object) -> None:
    objective = objective_of(lambda models: returned)  # type: ignore[arg-type,return-value]
    with pytest.raises(UserError, match=r"objective function returned .* finite number"):
        scheduler(objective).check([curve([])])
