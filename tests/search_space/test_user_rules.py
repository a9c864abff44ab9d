"""A user's rules: loaded from a file, besides ours, measured in the children, replayed without the file."""

import json
from pathlib import Path

import numpy as np
import pytest

import tuner
from search_space.candidate import context_of, materialize, prepare, sketch_plan
from search_space.hardware import resolve_target, target_text
from search_space.tvm_api import structural_equal, te, tvm
from search_space.user_rules import RulesRefused, load_rules
from search_space.workload import workload_of
from tuner.errors import UserError

pytestmark = pytest.mark.tvm

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
RULES = f"{EXAMPLES / 'blocked_transpose.py'}:RULES"
OURS = "user.blocked_transpose"


def transposition():
    source = te.placeholder((3, 24, 40), name="A")
    return te.create_prim_func([source, te.compute((3, 40, 24), lambda b, i, j: source[b, j, i], name="D")])


@pytest.fixture(scope="module")
def context():
    return context_of(workload_of(transposition(), "t"), resolve_target(threads=2), load_rules(RULES))


def test_sketches_of_a_rule_come_besides_ours(context):
    plain = context_of(context.workload, context.target)
    assert set(context.sketches) == {*plain.sketches, OURS}


def test_candidates_of_the_example_compute_the_same(context):
    sketch = context.sketches[OURS]
    source = np.random.default_rng(0).random((3, 24, 40), np.float32)
    for row in sketch.sample(np.random.default_rng(1), 6):
        result = tvm.runtime.tensor(np.full((3, 40, 24), np.nan, np.float32))
        module = materialize(context, sketch_plan(sketch, row)).module
        tvm.compile(module, target=context.target)["main"](tvm.runtime.tensor(source), result)
        np.testing.assert_array_equal(result.numpy(), source.transpose(0, 2, 1))


def test_plans_replay_from_their_trace_without_the_rule(context):
    sketch = context.sketches[OURS]
    made = materialize(context, sketch_plan(sketch, sketch.sample(np.random.default_rng(2), 1)[0]))
    without = prepare(context.workload.program(), target_text(context.target))
    assert OURS not in without.sketches
    plan = {"kind": "trace", "base": made.base, "trace": json.loads(made.trace)}
    assert structural_equal(materialize(without, plan).module, made.module)


def test_children_load_the_rules_and_a_later_compile_needs_none(tmp_path):
    log = tmp_path / "run.jsonl"
    options = tuner.TuneOptions(trials=12, batch=6, strategy="random", log=log, rules=RULES, threads=1)
    func = transposition()
    tuner.tune(func, options=options)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ours = [line for line in lines if line.get("plan", {}).get("sketch") == OURS]
    assert ours and not any((line["failure"] or {}).get("stage") == "generate" for line in ours)
    model = tuner.compile(func, records=log, threads=1)
    assert model.coverage[0].source == "tuned"
    source = np.random.default_rng(3).random((3, 24, 40), np.float32)
    np.testing.assert_array_equal(model.run(source)[0], source.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "missing.py:RULES", "cannot read rules"),
        ("", "rules.py:", "cannot read rules"),
        ("", "rules.py:RULES", "defines no rules 'RULES'"),
        ("RULES = (1,)", "rules.py:RULES", "defines no rules 'RULES'"),
        ("import nothing_of_that_name", "rules.py:RULES", "importing it raised ModuleNotFoundError"),
    ],
)
def test_files_that_are_no_rules_are_refused(tmp_path, text, place, message):
    (tmp_path / "rules.py").write_text(text)
    with pytest.raises(RulesRefused, match=message):
        load_rules(str(tmp_path / place))


def test_a_rule_that_fails_is_one_line_for_the_user(tmp_path):
    (tmp_path / "rules.py").write_text("def broken(state, block):\n    return [block.nothing]\n")
    options = tuner.TuneOptions(trials=2, rules=f"{tmp_path / 'rules.py'}:broken")
    with pytest.raises(UserError, match="rule broken, at block D, raised AttributeError") as error:
        tuner.tune(transposition(), options=options)
    assert "\n" not in str(error.value)
