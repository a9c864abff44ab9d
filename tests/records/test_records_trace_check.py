"""What is kept away from the compiler."""

import json

import pytest
from hypothesis import given
from record_samples import plain

from records.errors import InvalidLine
from records.trace_check import INSTRUCTIONS, MAX_INSTRUCTIONS, check_program, check_trace

pytestmark = pytest.mark.pure


def graph(*nodes):
    return json.dumps({"root_index": 0, "nodes": [{"type": "None"}, *nodes]})


def test_good_traces_pass():
    check_trace(
        [
            [["GetSBlock", [], ["C", "main"], ["b0"]], ["SamplePerfectTile", ["l1"], [2, 16], ["v"]]],
            [[1, [2, 4]]],
        ]
    )
    check_trace([[["Annotate", ["b0", 16], ["pragma_auto_unroll_max_step"], []]], []])
    check_trace(
        [
            [
                ["Annotate", ["l1", 1], ["pragma_tirtune_stream"], []],
                ["Annotate", ["b0", 1], ["permuted_layout"], []],
            ],
            [],
        ]
    )
    check_trace([[["Annotate", ["b0", "SSR"], ["meta_schedule.tiling_structure"], []]], []])
    check_trace(
        [[["TransformLayout", ["b0", graph({"type": "ffi.String", "data": "i"})], [0, 0, None, 0], []]], []]
    )
    assert "UnsafeSetDType" not in INSTRUCTIONS


@pytest.mark.parametrize(
    "trace",
    [
        None,
        {},
        [[]],
        [[], {}],
        [[["GetSBlock"]], []],
        [[["GetSBlock", [], [], []]], [[1, 0]]],
        [[["GetSBlock", [], [], []]], [["x", 0]]],
        [[["RunPython", [], [], []]], []],
        [[["UnsafeSetDType", [], [], []]], []],
        [[["Annotate", ["b0", "x"], ["pragma_import_llvm"], []]], []],
        [[["Annotate", ["b0", "x"], ["pragma_import_c"], []]], []],
        [[["Annotate", ["b0", {"pragma_import_llvm": "/tmp/x.ll"}], ["meta_schedule.x"], []]], []],
        [[["Annotate", ["b0", "x"], [], []]], []],
        [[["Annotate", ["b0", "x"], [["k"]], []]], []],
        [[["TransformLayout", ["b0", graph({"type": "ir.Op", "data": "tirx.call_extern"})], [], []]], []],
        [[["TransformLayout", ["b0", graph({"type": "weird.Object"})], [], []]], []],
        [[["Split", [], [], []]] * (MAX_INSTRUCTIONS + 1), []],
    ],
)
def test_bad_traces_are_refused(trace):
    with pytest.raises(InvalidLine):
        check_trace(trace)


def test_deep_nesting_is_refused():
    deep = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(InvalidLine, match="deep"):
        check_trace([[["Split", [deep], [], []]], []])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"root_index":9,"nodes":[]}',
        '{"root_index":0,"nodes":[7]}',
        graph({"type": "ir.Op", "data": "tirx.call_extern"}),
        graph({"type": "ir.Op", "data": "tirx.call_pure_extern"}),
        graph({"type": "ir.Op", "data": "tirx.tvm_call_packed_lowered"}),
        graph({"type": "ffi.String", "data": "pragma_import_llvm"}),
        '{"root_index":0,"nodes":[{"type":"ir.Op","data":"tir\\u0078.call_extern"}]}',
        graph({"type": "ffi.Function"}).replace("ffi.Function", "os.system"),
    ],
)
def test_bad_programs_are_refused(text):
    with pytest.raises(InvalidLine):
        check_program(text)


@given(plain)
def test_any_json_is_answered(value):
    for check, argument in (
        (check_trace, value),
        (check_trace, [[value], []]),
        (check_program, json.dumps(value)),
    ):
        try:
            check(argument)
        except InvalidLine:
            continue
