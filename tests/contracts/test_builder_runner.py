"""What every builder and runner must do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tuner.measure.base import Failure, MeasureTask
from tuner.measure.protocols import Build, Builder, Runner

pytestmark = pytest.mark.tvm

GOOD = {"kind": "tiled"}
DEFAULT = {"kind": "default"}


@dataclass
class Halves:
    builder: Builder
    runner: Runner
    task: MeasureTask


@pytest.fixture(scope="module")
def halves() -> Iterator[Halves]:
    folder = str(Path(__file__).parent.parent / "measure")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from matmul_plans import matmul_task

    from tuner.measure.fork_builder import ForkBuilder
    from tuner.measure.fork_runner import ForkRunner
    from tuner.measure.options import MeasureOptions
    from tuner.measure.supervisor import Supervisor
    from tuner.measure.tasks import TaskTable

    supervisor, options = Supervisor(), MeasureOptions(entry="matmul_plans:prepare")
    tasks = TaskTable(supervisor, options)
    task = matmul_task()
    tasks.open(task)
    builder = ForkBuilder(supervisor, tasks, options)
    yield Halves(builder, ForkRunner(supervisor, tasks, options), task)
    tasks.close()
    supervisor.close()


def finish(builder: Builder, builds: list[Build]) -> None:
    left = set(builds)
    while left:
        found = builder.finished(20.0)
        assert set(found) <= left, "a build was returned twice"
        left -= set(found)


def test_every_build_is_returned_once_and_bad_ones_have_a_failure(halves: Halves) -> None:
    plans = [GOOD, {"kind": "raise"}, DEFAULT]
    builds = [halves.builder.submit(halves.task.key, plan) for plan in plans]
    finish(halves.builder, builds)
    assert [build.failure is None for build in builds] == [True, False, True]
    assert [build.plan for build in builds] == plans
    assert halves.builder.finished(0.01) == []
    for build in (*builds, *builds):
        halves.builder.discard(build)


def test_a_build_waits_while_the_machine_is_quiet(halves: Halves) -> None:
    build = halves.builder.submit(halves.task.key, GOOD)
    with halves.builder.quiet():
        pass
    finish(halves.builder, [build])
    assert build.failure is None
    halves.builder.discard(build)


def test_a_run_has_a_timing_or_a_failure(halves: Halves) -> None:
    for plan, is_good in ((GOOD, True), ({"kind": "wrong"}, False)):
        build = halves.builder.submit(halves.task.key, plan)
        finish(halves.builder, [build])
        run = halves.runner.run(build, None)
        assert (run.timing is not None) == is_good
        assert (run.failure is None) == is_good
        halves.builder.discard(build)


def test_alternating_gives_equally_many_times(halves: Halves) -> None:
    builds = [halves.builder.submit(halves.task.key, plan) for plan in (GOOD, DEFAULT)]
    finish(halves.builder, builds)
    found = halves.runner.alternate(builds, 4)
    assert not isinstance(found, Failure)
    assert [len(part) for part in found] == [4, 4]
    for build in builds:
        halves.builder.discard(build)
