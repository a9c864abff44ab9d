"""The first batch of a task tries what its relatives found."""

import numpy as np
import pytest

import tuner
from records.opening import open_store
from search_space.candidate import context_of
from search_space.hardware import resolve_target
from tuner.scheduler import TaskCurve
from tuner.search import RandomSearch
from tuner.task_run import TaskRun
from tuner.tasks import Task
from tuner.transfer import Transfer
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

TARGET = resolve_target(threads=2)


def run_of(spec):
    workload = named_workload(spec)
    context = context_of(workload, TARGET)
    strategy = RandomSearch(context.sketches, None)
    return TaskRun(Task(workload, (spec,), (1,)), context, strategy, TaskCurve(workload.flops, (1.0,), ""))


def test_seeds_come_from_the_best_of_the_same_run():
    source, fresh, other = run_of("gmm:1,64,96,128"), run_of("gmm:1,128,96,128"), run_of("nrm:1,64,48")
    sketch = next(iter(source.context.sketches.values()))
    transfer = Transfer(TARGET)
    assert transfer.seeds(fresh, [source, fresh]) == []
    row = sketch.sample(np.random.default_rng(0), 1)[0]
    source.best_plan = {"kind": "sketch", "sketch": sketch.name, "row": row.tolist()}
    ((name, carried),) = transfer.seeds(fresh, [source, fresh])
    assert fresh.context.sketches[name].valid(carried[None, :]).all()
    assert transfer.seeds(other, [source, other]) == []


def test_seeds_come_from_other_workloads_of_the_log(tmp_path):
    log = tmp_path / "run.jsonl"
    tuner.tune("gmm:1,32,48,64", options=tuner.TuneOptions(trials=4, log=log, threads=2))
    fresh = run_of("gmm:1,32,48,128")
    store = open_store(str(log), read_only=True, create=False)
    try:
        seeds = Transfer(TARGET, store, store.view()).seeds(fresh, [fresh])
    finally:
        store.close()
    assert seeds and {name for name, _ in seeds} <= set(fresh.context.sketches)
