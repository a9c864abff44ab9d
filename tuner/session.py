"""A tuning run: tasks in, measurements into the log, the best plan of every task out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from records.building import lines_of, program_line, workload_info
from records.environment import distribution_version, isa_features
from records.errors import RecordError
from records.opening import open_store
from records.plans import plan_key
from records.schema import Header
from records.store import Query, RecordStore
from search_space.candidate import Context, context_of
from search_space.hardware import hardware_of, target_text
from search_space.user_rules import RulesRefused, load_rules
from search_space.workload import Workload
from tuner.compilation import Choice
from tuner.errors import JobFailed, UserError
from tuner.events import Listener, RunProgress, ignore
from tuner.machine import machine_of
from tuner.measure.base import Measurer, MeasureResult, MeasureTask, Timing
from tuner.models import RunModel
from tuner.objective import Objective, objective_of
from tuner.options import TRIALS_PER_TASK, TuneOptions
from tuner.pace import Pace, gain_of
from tuner.result import TuneResult
from tuner.resume import restore_task
from tuner.scheduler import GradientScheduler, TaskCurve
from tuner.search import EvolutionarySearch, RandomSearch, Scorer, SearchStrategy, search_options
from tuner.task_run import Stopwatch, TaskRun
from tuner.tasks import Task
from tuner.transfer import Transfer

FINAL_PART = 0.05
"""Part of a limited time that is left for the last duels; those of the tasks that matter most come first."""


class Session:
    """Composes search, measurement, scheduling and records for one run.

    Args:
        tasks: What is tuned; equal workloads were joined.
        target: The resolved TVM target.
        options: What was asked for.
        measurer: Where candidates run; the session does not close it.
        listener: Told about progress.
        clock: Monotonic seconds.
        reserved_seconds: Part of the time that is left for what comes after the search.
        started: When the run began by the clock; now when absent.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        target: Any,
        options: TuneOptions,
        measurer: Measurer,
        listener: Listener = ignore,
        objective: Objective | None = None,
        clock: Callable[[], float] = time.monotonic,
        reserved_seconds: float = 0.0,
        started: float | None = None,
    ) -> None:
        if not tasks:
            raise UserError("there is nothing to tune: the workload has no tasks")
        self._options = options
        limit = options.seconds
        self._search_seconds = None if limit is None else limit - reserved_seconds
        self._target = target
        self._target_text = target_text(target)
        self._hardware = hardware_of(target)
        self._measurer = measurer
        self._listener = listener
        self._watch = Stopwatch(clock)
        self._started = clock() if started is None else started
        self._rng = np.random.default_rng(options.seed)
        self._model = RunModel(self._hardware, options.seed, options.disable)
        self._objective = objective or objective_of(options.objective)
        self._scheduler = GradientScheduler(self._objective, self._rng)
        self._models = sorted({m for t in tasks for m in t.models})
        self._budget = options.trials
        if options.trials is None and options.seconds is None:
            self._budget = TRIALS_PER_TASK * len(tasks)
        self._id = uuid.uuid4().hex[:16]
        self._environment = machine_of(options.measure, self._hardware.cores, target)
        self._store = self._open_store()
        self._runs = [self._make_run(i, t) for i, t in enumerate(tasks)]
        self._scheduler.check([r.curve for r in self._runs])
        self._transfer = Transfer(target)
        self._trial = self._taken_over = 0
        self._pending: list[Any] = []
        self._message = ""

    @property
    def contexts(self) -> dict[str, Context]:
        """Sketches by workload key, where they are those that a model is compiled with."""
        if self._options.rules or "packing" in self._options.disable:
            return {}
        return {run.task.key: run.context for run in self._runs}

    def run(self) -> TuneResult:
        """Tune until the budget is spent, nothing is left to try, or the user interrupts.

        Raises:
            JobFailed: If a task cannot be prepared, every candidate fails for one cause, or the log
                cannot be written any more.
        """
        stopped, interrupted = "", False
        try:
            if self._model.notice:
                self._message = self._model.notice
                self._tell()
            if self._options.resume:
                self._resume()
            self._write_header()
            stopped = self._loop()
        except KeyboardInterrupt:
            stopped, interrupted = "interrupted", True
        except RecordError as error:
            raise JobFailed(str(error)) from error
        finally:
            if self._store is not None:
                self._store.close()
        return self._result(stopped, interrupted)

    def confirm_in_place(self, workload: Workload, choice: Choice, timing: Timing) -> bool:
        """Write to the log what a schedule takes inside the compiled model, after :meth:`run`.

        Args:
            workload: One of the tasks.
            choice: Its schedule; measured and checked first if the log has not seen it.
            timing: Seconds per call in place.

        Returns:
            Whether it was written: only for schedules with right outputs.
        """
        run = next((r for r in self._runs if r.task.key == workload.key), None)
        if run is None or choice.plan is None or choice.plan.get("kind") == "trace":
            return False
        self._store = self._open_store()
        if self._store is None:
            return False
        try:
            if not self._is_checked(run, choice.plan):
                self._open(run)
                (result,) = self._measurer.measure(run.task.key, [choice.plan], None)
                self._record(run, result, "trial", 0.0)
                self._flush()
                if result.timing is None or result.verdict is None or not result.verdict.ok:
                    return False
            self._record(run, MeasureResult(plan=choice.plan, timing=timing), "confirmation", 0.0)
            return True
        finally:
            self._store.close()

    def _is_checked(self, run: TaskRun, plan: Mapping[str, Any]) -> bool:
        assert self._store is not None
        query = Query(keys=frozenset({run.task.key}), target=self._target_text, threads=self._hardware.cores)
        known = [s for s in self._store.view(query).summaries if s.plan_key == plan_key(plan)]
        return any(s.ok is True or s.kind == "baseline" for s in known)

    def _loop(self) -> str:
        stopped = self._until_stopped()
        limit = self._search_seconds
        for run in sorted(self._runs, key=lambda r: -sum(r.curve.calls) * (r.best_seconds or 0.0)):
            if run.rounds and (limit is None or self._elapsed() < limit):
                with self._watch.time("measure"):
                    run.finish(self._measurer, self._record)
            run.state = "done"
            self._tell()
        return stopped

    def _until_stopped(self) -> str:
        while True:
            reason = self._spent()
            if reason:
                return reason
            curves = [r.curve for r in self._runs]
            chosen = self._scheduler.choose(curves, self._baselines())
            if chosen is None:
                return self._done()
            run = self._runs[chosen]
            run.state = "searching"
            self._tell()
            with self._watch.time("search") as lap:
                self._model.refit()
                self._suggest(run)
                proposals = run.strategy.propose(self._batch_size())
            # Not before the search: meanwhile the measurer loads the compiler.
            self._open(run)
            if not proposals:
                run.curve.exhausted = True
                run.state = "done"
                continue
            run.state = "measuring"
            self._tell()
            with self._watch.time("measure"):
                run.measure(self._measurer, proposals, self._record, lap.seconds)
            self._flush()
            run.state = "waiting"
            self._tell()

    def _done(self) -> str:
        if all(r.curve.exhausted for r in self._runs):
            return "nothing left to try"
        return f"no task can improve the objective any more ({self._options.objective})"

    def _suggest(self, run: TaskRun) -> None:
        """Before the first measurement hand over what related tasks found."""
        if not run.trials and isinstance(run.strategy, EvolutionarySearch):
            for sketch, row in self._transfer.seeds(run, self._runs):
                run.strategy.suggest(sketch, row[None, :])

    def _spent(self) -> str:
        if self._budget is not None and sum(r.trials for r in self._runs) >= self._budget:
            return f"all {self._budget} trials are spent"
        limit = self._search_seconds
        if limit is not None and self._elapsed() >= (1.0 - FINAL_PART) * limit:
            return f"the time of {self._options.seconds:g} s is up"
        return ""

    def _pace(self) -> Pace:
        limit = self._search_seconds
        spent = sum(r.trials for r in self._runs)
        return Pace(
            trials=self._budget,
            seconds=None if limit is None else (1.0 - FINAL_PART) * limit,
            spent=spent,
            measured=spent - self._taken_over,
            elapsed_seconds=self._elapsed(),
        )

    def _batch_size(self) -> int:
        fresh = sum(1 for r in self._runs if not r.curve.best and not r.curve.exhausted)
        return self._pace().batch(self._options.batch, fresh)

    def _open(self, run: TaskRun) -> None:
        if run.baseline is not None:
            return
        run.state = "opening"
        self._tell()
        workload = run.task.workload
        task = MeasureTask(
            run.task.key, workload.program(), self._target_text, workload.name, self._hardware.cores
        )
        with self._watch.time("measure"):
            baseline = self._measurer.open(task)
        run.take_baseline(baseline)
        if baseline.timing is not None:
            result = MeasureResult(plan={"kind": "default"}, timing=baseline.timing)
            self._record(run, result, "baseline", 0.0)

    def _make_run(self, index: int, task: Task) -> TaskRun:
        try:
            context = context_of(task.workload, self._target, load_rules(self._options.rules))
        except RulesRefused as error:
            raise UserError(f"--rules: {error}") from error
        if "packing" in self._options.disable:
            held = {name: sketch.without("pack") for name, sketch in context.sketches.items()}
            context = replace(context, sketches=held)
        rng = np.random.default_rng([self._options.seed, index])
        strategy: SearchStrategy
        if self._options.strategy == "random":
            strategy = RandomSearch(context.sketches, rng)
        else:
            disable = self._options.disable
            scorer = Scorer(self._hardware, self._model, index, use_draft="draft" not in disable)
            strategy = EvolutionarySearch(context.sketches, scorer, rng, search_options(disable))
        calls = tuple(float(task.calls_of(m)) for m in self._models)
        family = "+".join(sorted(context.sketches))
        return TaskRun(task, context, strategy, TaskCurve(task.workload.flops, calls, family))

    def _open_store(self) -> RecordStore | None:
        if self._options.log is None:
            return None
        try:
            return open_store(self._options.log)
        except RecordError as error:
            raise UserError(str(error)) from error

    def _resume(self) -> None:
        if self._store is None:
            return
        query = Query(target=self._target_text, threads=self._hardware.cores)
        self._transfer = Transfer(self._target, self._store, self._store.view(query))
        keys = frozenset(r.task.key for r in self._runs)
        view = self._store.view(replace(query, keys=keys))
        for problem in view.problems:
            self._message = str(problem)
            self._tell()
        for run in self._runs:
            restored = restore_task(run, self._store, view, self._target_text, self._environment)
            if restored:
                self._taken_over += restored
                self._message = f"{run.task.name}: {restored} measurements taken over from the log"
                self._tell()

    def _write_header(self) -> None:
        if self._store is None:
            return
        header = Header(
            session=self._id,
            time_unix=time.time(),
            tool=distribution_version("tirtune"),
            options=self._options.to_dict(),
            environment=self._environment,
            isa_features=isa_features(),
        )
        programs = [program_line(self._info(r.task), r.task.workload.program()) for r in self._runs]
        self._store.append([header, *programs])

    def _record(self, run: TaskRun, result: MeasureResult, kind: Any, search_seconds: float) -> None:
        self._trial += 1
        if self._store is None:
            return
        self._pending.extend(
            lines_of(
                result,
                kind=kind,
                session=self._id,
                workload=self._info(run.task),
                target=self._target_text,
                environment=self._environment,
                time_unix=time.time(),
                round=run.rounds,
                trial=self._trial - 1,
                seed=self._options.seed,
                search_seconds=search_seconds,
                cache=result.cache,
            )
        )
        if kind != "trial":
            self._flush()

    def _flush(self) -> None:
        if self._store is not None and self._pending:
            self._store.append(self._pending)
            self._pending = []

    @staticmethod
    def _info(task: Task) -> Any:
        workload = task.workload
        return workload_info(workload.key, workload.name, workload.args, workload.flops)

    def _baselines(self) -> np.ndarray:
        calls = np.array([r.curve.calls for r in self._runs]).T
        seconds = np.array(
            [r.baseline.seconds if r.baseline else r.known_baseline_seconds or 1.0 for r in self._runs]
        )
        return np.asarray(calls @ seconds)

    def _elapsed(self) -> float:
        return self._watch.now() - self._started

    def _tell(self) -> None:
        parts = self._parts()
        self._listener(
            RunProgress(
                tasks=tuple(r.progress() for r in self._runs),
                trials=sum(r.trials for r in self._runs),
                trials_total=self._budget,
                elapsed_seconds=self._elapsed(),
                remaining_seconds=self._pace().remaining_seconds,
                search_seconds=parts["search"],
                build_seconds=parts["build"],
                run_seconds=parts["run"],
                message=self._message,
            )
        )
        self._message = ""

    def _parts(self) -> dict[str, float]:
        return {"search": self._watch.seconds.get("search", 0.0), **self._measurer.account.wall_seconds}

    def _result(self, stopped: str, interrupted: bool) -> TuneResult:
        return TuneResult(
            tasks=tuple(r.progress() for r in self._runs),
            plans={r.task.key: r.best_plan for r in self._runs if r.best_plan is not None},
            log=None if self._options.log is None else str(self._options.log),
            seconds={"total": self._elapsed(), **self._parts()},
            target=self._target_text,
            threads=self._hardware.cores,
            interrupted=interrupted,
            stopped=stopped,
            stages=dict(self._measurer.account.stage_seconds),
            measured=self._measurer.account.trials,
            gain_of_as_many_again=gain_of([r.curve for r in self._runs], 2.0),
            suspects=self._measurer.account.suspects,
        )
