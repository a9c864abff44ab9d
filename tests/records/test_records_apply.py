"""Replay of records on their workloads."""

import msgspec
import numpy as np
import pytest
import record_samples as samples
from record_programs import N, check_numbers, record_lines

from records.apply import DoesNotApply, apply_record, load_workload, program_lookup
from records.building import lines_of, program_line, workload_info
from records.encoding import pack_text, unpack_text
from records.interop.foreign import timing_of_runs
from records.memory import MemoryStore
from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import target_text
from search_space.tvm_api import structural_equal, structural_key, te
from search_space.workload import workload_of

pytestmark = pytest.mark.tvm


def test_records_of_every_sketch_replay_without_the_generator(workload, target):
    context = context_of(workload, target)
    assert context.sketches
    for sketch in context.sketches.values():
        row = sketch.sample(np.random.default_rng(0), 1)[0]
        plan = sketch_plan(sketch, row)
        made = materialize(context, plan)
        info = workload_info(workload.key, workload.name, workload.args, workload.flops)
        measured = _Measured(plan, made.trace, made.base)
        with MemoryStore() as store:
            store.append(
                lines_of(
                    measured,
                    kind="trial",
                    session="s",
                    workload=info,
                    target=target_text(target),
                    environment=samples.HERE,
                    time_unix=1.0,
                )
            )
            view = store.view()
            (record,) = store.load(view.summaries)
            applied = apply_record(workload, record, program_lookup(view))
        assert structural_equal(applied.module["main"], made.module["main"]), sketch.name
        check_numbers(applied.module, target)
    assert structural_key(workload.func) == workload.key, "replaying leaves the workload as it is"


class _Measured:
    timing, failure, verdict = timing_of_runs([0.1]), None, None
    build_seconds = run_seconds = 0.0

    def __init__(self, plan, trace, base):
        self.plan, self.trace, self.base = plan, trace, base
        self.facts = {}


def test_a_record_that_does_not_apply_says_why(workload, target):
    _, record = record_lines(workload, target, 4, 0.1)

    def reason(**changes):
        with pytest.raises(DoesNotApply) as caught:
            apply_record(workload, msgspec.structs.replace(record, **changes))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    trace = unpack_text(record.trace)
    assert "belongs to workload" in reason(workload=samples.workload())
    assert "no trace" in reason(trace=None)
    assert "no longer applies" in reason(trace=pack_text(trace.replace('"C"', '"D"')))
    assert "no longer applies" in reason(
        trace=pack_text(trace.replace('["SamplePerfectTile",["l1"]', '["SamplePerfectTile",["l9"]'))
    )
    assert "pragma_import_llvm" in reason(
        trace=pack_text(trace.replace("meta_schedule.tiling_structure", "pragma_import_llvm"))
    )
    assert "not in the log" in reason(base="base:0")
    other = workload_of(te.create_prim_func(_vector_add()), "add").program()
    with pytest.raises(DoesNotApply, match="no longer applies"):
        apply_record(
            workload, msgspec.structs.replace(record, base="base:0", trace="[[],[]]"), {"base:0": other}.get
        )
    default = msgspec.structs.replace(record, plan={"kind": "default"}, plan_key="default", trace=None)
    check_numbers(apply_record(workload, default).module, target)


def _vector_add():
    a = te.placeholder((N,), name="A")
    return [a, te.compute((N,), lambda i: a[i] + 1.0, name="C")]


def test_a_program_whose_key_does_not_fit_is_refused(workload):
    info = workload_info("0" * 16, workload.name, workload.args, workload.flops)
    with pytest.raises(DoesNotApply, match="hashes to"):
        load_workload(program_line(info, workload.program()))
    with pytest.raises(DoesNotApply, match="cannot be read"):
        load_workload(program_line(info, samples.PROGRAM))
