"""Whole models are compared after a run, and schedules that lose in place are not used again."""

import json
from contextlib import contextmanager

import numpy as np
import onnx
import pytest

import tuner
from records.opening import open_store
from records.store import Query
from tests.assets.models.small import MODELS, residual_cnn
from tuner import api
from tuner.acceptance import accept as module
from tuner.acceptance.accept import Acceptance, verdict_of
from tuner.acceptance.after_run import AfterRun, expected_seconds
from tuner.acceptance.race import LEAST_ROUNDS, Lap, profile, race
from tuner.acceptance.verdict import ModelVerdict, verdict_values
from tuner.choice import Chooser, open_records
from tuner.compilation import Choice
from tuner.errors import UserError
from tuner.extract import lower
from tuner.frontends.onnx_file import from_onnx
from tuner.measure.local import LocalMeasurer
from tuner.session import Session

pytestmark = pytest.mark.tvm


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Tune a small model with a comparison of the whole model; return file, log and result."""
    folder = tmp_path_factory.mktemp("accepted")
    path, log = folder / "model.onnx", folder / "run.jsonl"
    onnx.save(residual_cnn(), path)
    lowered = lower(from_onnx(residual_cnn(), name="model"))
    options = tuner.TuneOptions(trials=2 * len(lowered.workloads), batch=2, log=log)
    return path, log, tuner.tune(path, options=options)


def lap(tuned, predicted):
    return Lap({"tuned": tuple(map(float, tuned)), "predicted": tuple(map(float, predicted))})


def test_a_verdict_needs_more_than_noise():
    steady = np.linspace(1.0, 1.1, 12)
    faster = verdict_of("m", lap(steady * 0.5, steady), ())
    assert faster.high < 1 and "faster than predicted" in faster.words
    slower = verdict_of("m", lap(steady * 1.5, steady), ("conv",))
    assert slower.is_slower and "SLOWER" in slower.words and "conv" in slower.words
    equal = verdict_of("m", lap(steady, steady[::-1]), ())
    assert not equal.is_slower and "as fast as" in equal.words
    json.dumps(verdict_values(slower))
    assert "no compiler" in ModelVerdict("m", {}, None, None, None, "", reason="no compiler").words


def test_a_run_of_a_model_ends_with_a_verdict(tuned):
    _, log, result = tuned
    (verdict,) = result.verdicts
    assert verdict.reason == ""
    assert set(verdict.seconds) == {"tuned", "predicted"} and min(verdict.seconds.values()) > 0
    assert result.seconds["acceptance"] > 0
    assert log.exists()


def test_what_is_slower_in_place_is_not_used_again(tuned, monkeypatch):
    path, log, _ = tuned
    lowered = lower(from_onnx(onnx.load(path), name="model"))
    target = api.target_of(None, None)
    options = tuner.TuneOptions(log=log)
    after = AfterRun([lowered], target, str(log), None)
    slow_symbol, workload = next((s, w) for s, w in lowered.workloads.items() if "conv2d" in w.name)
    with LocalMeasurer() as measurer:
        session = Session(api.tasks_of_all(str(path)), target, options, measurer)
        untuned = Choice(None, "default", "", plan={"kind": "default"})
        assert session.confirm_in_place(workload, untuned, tuner_timing(1e-9))
        assert used(log, path, workload) == "nothing faster than the untuned program was found"

        # The processes of the versions are not started: their times are given.
        rounds = {"tuned": 1.0, "predicted": 0.5, "previous": 0.1}
        monkeypatch.setattr(module, "open_versions", lambda *_: {})
        monkeypatch.setattr(module, "race", lambda _, **__: Lap({n: (t,) * 12 for n, t in rounds.items()}))
        monkeypatch.setattr(
            module,
            "profile",
            lambda _, **__: {n: {f"{slow_symbol}_packed": [t] * 12} for n, t in rounds.items()},
        )
        previous = {workload.key: Choice(None, "tuned", "", plan=checked_plan(log, workload))}
        verdict = Acceptance(target, after._chooser, session.confirm_in_place).accept(lowered, previous)
    assert verdict.fell_back == (workload.name,)
    assert "record" in used(log, path, workload)


def test_a_log_that_was_only_begun_does_not_hold_back_predictions(tuned, tmp_path):
    path, log, _ = tuned
    lowered = lower(from_onnx(onnx.load(path), name="model"))
    begun = tmp_path / "begun.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line).get("kind", "baseline") == "baseline"]
    assert 1 < len(kept) < len(lines)
    begun.write_text("".join(kept))
    with open_records([str(begun)]) as stores:
        choose = Chooser(api.target_of(None, None), stores)
        choices = [choose(workload) for workload in lowered.workloads.values()]
    assert {choice.source for choice in choices} == {"predicted"}
    # An untuned program that did not end in time leaves no time, which is another reason.
    assert any("holds only its untuned time" in choice.reason for choice in choices)


def tuner_timing(seconds):
    from tuner.measure.timing import summarise

    return summarise([seconds] * 6)


def checked_plan(log, workload):
    """Return a plan of the log whose outputs were right."""
    store = open_store(str(log), read_only=True, create=False)
    try:
        mine = store.view(Query(keys=frozenset({workload.key}))).summaries
        records = store.load([s for s in mine if s.ok is True and s.kind == "trial"])
        return next(record.plan for record in records if record.plan["kind"] == "sketch")
    finally:
        store.close()


def used(log, path, workload):
    """Return why the compiled model has the schedule that it has."""
    return next(e.reason for e in tuner.compile(path, records=log).coverage if e.key == workload.key)


def test_a_file_that_is_no_log_is_named_before_anything_is_measured(tmp_path):
    lowered = lower(from_onnx(MODELS["two_outputs"](), name="model"))
    target = api.target_of(None, None)
    assert AfterRun([lowered], target, str(tmp_path / "new.jsonl"), None)._previous == [{}]
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a log\n")
    with pytest.raises(UserError, match=r"notes\.txt"):
        AfterRun([lowered], target, str(wrong), None)


def test_slow_models_have_fewer_rounds():
    class Slow:
        turns = 0

        def turn(self, seconds):
            self.turns += 1
            return 1.0

        def profile(self):
            return {"f": 1.0}

    versions = {"tuned": Slow(), "predicted": Slow()}
    assert len(race(versions, limit_seconds=0.0).seconds["tuned"]) == LEAST_ROUNDS
    assert versions["predicted"].turns == LEAST_ROUNDS
    assert len(race(versions, rounds=7).seconds["tuned"]) == 7
    assert len(profile(versions, limit_seconds=0.0)["tuned"]["f"]) == LEAST_ROUNDS


def test_equal_schedules_are_not_compared(monkeypatch):
    lowered = lower(from_onnx(MODELS["two_outputs"](), name="model"))
    target = api.target_of(None, None)
    monkeypatch.setattr(module, "open_versions", lambda *_: pytest.fail("compared"))

    @contextmanager
    def chooser():
        yield Chooser(target, [])

    verdict = Acceptance(target, chooser, lambda *_: False).accept(lowered, {})
    assert not verdict.is_slower and "not compared" in verdict.words and "without this run" in verdict.words


def test_a_comparison_that_does_not_fit_into_the_time_is_left_out_and_said(tmp_path):
    lowered = lower(from_onnx(MODELS["two_outputs"](), name="model"))
    target, log = api.target_of(None, None), str(tmp_path / "new.jsonl")
    long = AfterRun([lowered, lowered], target, log, 600.0)
    expected = expected_seconds(lowered, 2)
    assert long.reserved_seconds == pytest.approx(2 * expected)
    assert AfterRun([lowered, lowered], target, log, 1.5 * expected / 0.3).reserved_seconds == expected
    short = AfterRun([lowered], target, log, 1.0)
    assert short.reserved_seconds == 0.0
    verdict = short._verdict(None, lowered, {}, expected)
    assert verdict.ratio is None and "room for it" in verdict.words
