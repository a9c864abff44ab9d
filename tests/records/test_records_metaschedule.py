"""Exchange with TVM's own database, both ways."""

import json

import msgspec
import pytest
import record_samples as samples
from record_programs import N, check_numbers, matmul, record_lines, tiled
from tvm import relax
from tvm.s_tir import meta_schedule as ms

from records.apply import apply_record, load_workload, program_lookup
from records.errors import StoreError
from records.interop.metaschedule_export import export_database
from records.interop.metaschedule_import import RECORD_FILE, WORKLOAD_FILE, import_database
from records.memory import MemoryStore
from records.query import lookup
from records.ranking import best_per_task
from search_space.tvm_api import IRModule, structural_equal, tvm
from search_space.workload import normalise

pytestmark = pytest.mark.tvm


@pytest.fixture
def tvm_database(tmp_path, target):
    """A database that TVM itself wrote, with three candidates of 3, 1 and 2 seconds."""
    (tmp_path / "ms").mkdir()
    module = IRModule({"main": matmul().with_attr("global_symbol", "main")})
    database = ms.database.JSONDatabase(work_dir=str(tmp_path / "ms"))
    entry = database.commit_workload(module)
    for factor, seconds in ((2, 3.0), (4, 1.0), (8, 2.0)):
        database.commit_tuning_record(
            ms.database.TuningRecord(
                tiled(matmul(), factor).trace,
                entry,
                run_secs=[seconds, seconds],
                target=target,
                args_info=ms.arg_info.ArgInfo.from_entry_func(module),
            )
        )
    return tmp_path / "ms"


def test_a_database_of_tvm_loads_and_its_best_schedule_compiles(tvm_database, workload, target):
    imported = import_database(tvm_database, session="ms", time_unix=5.0)
    assert (imported.records, imported.problems) == (3, ())
    with MemoryStore() as store:
        store.append(imported.lines)
        view = store.view()
        ((task, best),) = best_per_task(view.summaries).items()
        assert best.seconds == 1.0
        assert task.key == workload.key, "the same operator by any way has one key"
        (record,) = store.load([best.summary])
        loaded = load_workload(view.programs[task.key])
        module = apply_record(loaded, record, program_lookup(view)).module
        assert structural_equal(module["main"], tiled(workload.func, 4).mod["main"])
        check_numbers(module, target)
        # Nobody named the machine, so it is used nowhere before it was measured again.
        here = samples.HERE
        assert (
            "other instruction-set features"
            in lookup(
                view.summaries,
                key=task.key,
                target=record.target,
                environment=samples.elsewhere(here, threads=1),
            ).reason
        )


def test_the_importer_may_name_the_machine(tvm_database):
    imported = import_database(tvm_database, session="ms", time_unix=5.0, environment=samples.HERE)
    record = imported.lines[-1]
    assert record.environment == samples.elsewhere(samples.HERE, threads=1)


def test_damaged_lines_of_a_database_cost_only_themselves(tvm_database):
    workloads, records = tvm_database / WORKLOAD_FILE, tvm_database / RECORD_FILE
    good = records.read_text().splitlines()
    evil = json.loads(good[0])
    evil[1][0][0].append(["Annotate", ["b0", "/tmp/x.ll"], ["pragma_import_llvm"], []])
    negative = json.loads(good[0])
    negative[1][1] = [0.1, -1]
    bad = [
        "garbage",
        "[0]",
        good[0].replace("[0,", "[7,", 1),
        good[0].replace("[0,", "[1,", 1),
        json.dumps(evil),
        json.dumps(negative),
        good[0].replace('"llvm"', '"mystery"'),
    ]
    records.write_text("\n".join([*bad, *good]) + "\n")
    workloads.write_text(workloads.read_text() + '["1", "bm9uc2Vuc2U="]\n["2"]\n')
    imported = import_database(tvm_database, session="ms", time_unix=5.0)
    assert imported.records == 3
    assert len(imported.problems) == len(bad) + 2
    texts = [str(problem) for problem in imported.problems]
    assert any(text.startswith(f"{records}:5: ") and "pragma_import_llvm" in text for text in texts)
    with pytest.raises(StoreError, match="correct the path"):
        import_database(tvm_database / "none", session="ms", time_unix=5.0)


def test_failed_candidates_of_a_database_stay_failures(tvm_database):
    records = tvm_database / RECORD_FILE
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    lines[1][1][1] = [1e10]
    records.write_text("\n".join(json.dumps(line) for line in lines))
    imported = import_database(tvm_database, session="ms", time_unix=5.0)
    assert [getattr(line, "failure", None) is not None for line in imported.lines] == [
        False,
        False,
        True,
        False,
    ]


def test_tvm_applies_a_database_that_we_export(tmp_path, workload, target):
    with MemoryStore() as store:
        for factor, seconds in ((2, 0.3), (4, 0.1), (8, 0.2)):
            store.append(record_lines(workload, target, factor, seconds))
        exported = export_database(store, tmp_path / "out")
        assert (exported.records, exported.workloads, exported.skipped) == (3, 1, ())
        with pytest.raises(StoreError, match="exists"):
            export_database(store, tmp_path / "out")

    module = _relax_matmul()
    with target, tvm.transform.PassContext(opt_level=3):
        applied = relax.transform.MetaScheduleApplyDatabase(str(tmp_path / "out"), enable_warning=True)(
            module
        )
    (func,) = [f for f in applied.functions.values() if isinstance(f, tvm.tirx.PrimFunc)]
    expected = tiled(workload.func, 4).mod["main"]
    assert func.attrs["tirx.is_scheduled"]
    assert structural_equal(normalise(func), normalise(expected)), "the fastest of the three was applied"
    database = ms.database.JSONDatabase(work_dir=str(tmp_path / "out"), allow_missing=False)
    assert len(database) == 3


def _relax_matmul():
    builder = relax.BlockBuilder()
    a = relax.Var("a", relax.TensorType((N, N), "float32"))
    b = relax.Var("b", relax.TensorType((N, N), "float32"))
    with builder.function("main", [a, b]):
        func = matmul().with_attr("tirx.noalias", True)
        variable = builder.add_func(func, "matmul")
        out = builder.emit(relax.call_tir(variable, [a, b], relax.TensorType((N, N), "float32")))
        builder.emit_func_output(out)
    return builder.get()


def test_what_a_database_cannot_hold_is_skipped_with_its_reason(tmp_path, workload, target):
    program, record = record_lines(workload, target, 4, 0.1)
    rewritten = msgspec.structs.replace(record, base="base:0", plan_key="trace:1")
    traceless = msgspec.structs.replace(record, trace=None, plan_key="trace:2")
    orphan = msgspec.structs.replace(record, workload=samples.workload())
    with MemoryStore() as store:
        store.append([program, record, rewritten, traceless, orphan])
        exported = export_database(store, tmp_path / "out")
    assert exported.records == 1
    reasons = " | ".join(problem.message for problem in exported.skipped)
    for reason in ("rewritten program", "no trace", "not in the log"):
        assert reason in reasons
