"""Import of Ansor's logs."""

import json

import pytest
from record_programs import check_numbers

from records.apply import apply_record
from records.interop.ansor_import import import_log

pytestmark = pytest.mark.tvm


ANSOR_KEY = '["matmul", 32, 32, 32]'


def ansor_line(steps, costs=(0.25, 0.35), error=0, key=ANSOR_KEY, target="llvm -keys=cpu -mcpu=core-avx2"):
    task = [key, target, [2, 64, 64, 0, 0, 0, 0, 0], "", 0, []]
    return json.dumps({"i": [task, [[], steps]], "r": [list(costs), error, 1.5, 1700000000], "v": "v0.6"})


STEPS = [
    ["SP", 2, 0, 32, [2, 4], 1],
    ["SP", 2, 3, 32, [16], 1],
    ["SP", 2, 5, 32, [8], 1],
    ["RE", 2, [0, 3, 1, 5, 6, 2, 4]],
    ["FU", 2, [0, 1]],
    ["AN", 2, 0, 3],
    ["AN", 2, 5, 2],
    ["PR", 2, 0, "auto_unroll_max_step$64"],
]


def test_an_ansor_log_maps_as_far_as_its_workloads_do(tmp_path, workload, target):
    path = tmp_path / "ansor.json"
    lines = [
        ansor_line(STEPS),
        ansor_line([], costs=[1e10], error=2),
        ansor_line(STEPS, key='["conv2d", 1]'),
        ansor_line([["CHW", 2, "local"]]),
        ansor_line([["SP", 2, 0, 64, [4], 1]]),
        ansor_line([["RE", 2, [0, 0, 1]]]),
        ansor_line([["SP", 1, 0, 32, [4], 1]]),
        ansor_line([["AN", 2, 0, 6]]),
        ansor_line(STEPS, target="mystery"),
        '{"i": 3}',
        "garbage",
    ]
    path.write_text("\n".join(lines))
    imported = import_log(path, workloads={"matmul": workload}, threads=2, session="ansor", time_unix=1.0)
    assert imported.records == 2
    assert [problem.line for problem in imported.problems] == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    texts = [problem.message for problem in imported.problems]
    for text, expected in zip(
        texts,
        [
            "say which workload",
            "cache_write",
            "32 iterations",
            "no order",
            "stage",
            "GPU",
            "target",
            "Ansor",
            "JSON",
        ],
        strict=True,
    ):
        assert expected in text
    _, good, bad = imported.lines
    assert good.timing.median_seconds == pytest.approx(0.3)
    assert bad.failure.stage == "build"
    assert json.loads(good.target)["mcpu"] == "core-avx2" and good.environment.threads == 2
    module = apply_record(workload, good).module
    assert "T.parallel(8," in module.script()
    check_numbers(module, target)
