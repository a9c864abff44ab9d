import pytest

from scripts.bench.compare import differences
from scripts.bench.compare import table as compare_table
from scripts.bench.curves import steps
from scripts.bench.table import (
    HEAD,
    fastest_peer,
    figures,
    first_reached,
    geometric_mean,
    ratio,
    share_of_peak,
    summary,
    table,
)

pytestmark = pytest.mark.pure


def result(workload="gmm:1,2,3,4", ours=1e-3, **changes):
    return {
        "workload": workload,
        "flops": 1e8,
        "seconds": {
            "tirtune": ours,
            "metaschedule": 2e-3,
            "torch": 3e-3,
            "onnxruntime": None,
            "openvino": 1.5e-3,
        },
        "tuning_seconds": {"tirtune": 8.0, "metaschedule": 64.0},
        "trials": {"tirtune": 64, "metaschedule": 64},
        "reported_seconds": {"tirtune": 0.8e-3, "metaschedule": 1e-3},
        "measuring_share": 0.7,
        "reach": {"tirtune_seconds": [4.0, 6.0, 5.0], "metaschedule_seconds": 120.0},
        "outcomes": {
            "tirtune": {"turns_seconds": [ours, 2 * ours, ours]},
            "peak": {"turns_seconds": [0.5e-3, 1e-3, 0.9e-3]},
            "torch": {"turns_seconds": [3e-3, 3e-3, 3e-3]},
        },
        **changes,
    }


def test_geometric_mean_leaves_out_what_is_missing():
    assert geometric_mean([2.0, None, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([None]) is None
    with pytest.raises(ValueError, match=r"math domain|positive"):
        geometric_mean([0.0])


def test_ratios_above_one_mean_that_ours_is_better():
    found = figures(result())
    assert found["of_peak"] == pytest.approx(0.5)
    assert found["over_metaschedule"] == pytest.approx(2.0)
    assert found["over_torch"] == pytest.approx(3.0)
    assert found["over_onnxruntime"] is None
    assert found["over_fastest_peer"] == pytest.approx(1.5)
    assert found["trials_per_second_ratio"] == pytest.approx(8.0)
    assert found["reach_ratio"] == pytest.approx(24.0)
    assert found["agreement"] == pytest.approx(1.25)
    assert found["agreement_metaschedule"] == pytest.approx(2.0)


def test_a_run_that_never_reaches_the_target_has_no_ratio():
    reach = {"tirtune_seconds": [4.0, None], "metaschedule_seconds": 120.0}
    assert figures(result(reach=reach))["reach_ratio"] is None


def test_a_missing_side_gives_dashes_not_errors():
    bare = result(
        seconds={"tirtune": None},
        tuning_seconds={"tirtune": None, "metaschedule": None},
        trials={"tirtune": None, "metaschedule": None},
        reported_seconds={},
        measuring_share=None,
        reach=None,
        outcomes={},
    )
    assert fastest_peer(bare) is None
    assert all(value is None for value in figures(bare).values())
    assert table([bare]).splitlines()[2].count(" - ") == len(HEAD) - 1


def test_table_has_a_row_per_operator_and_the_means():
    lines = table([result(), result("sfm:2,2", ours=4e-3)]).splitlines()
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert "2.00x" in lines[2]
    assert "0.50x" in lines[3]
    assert "1.00x" in lines[4]


def test_summary_names_the_worst_operator():
    found = summary([result(), result("sfm:2,2", ours=4e-3)])["over_metaschedule"]
    assert found["smallest"] == pytest.approx(0.5)
    assert found["smallest_at"] == "sfm:2,2"
    assert found["count"] == 2


def test_first_reached_scales_what_was_recorded():
    curve = [
        {"wall_seconds": 1.0, "best_seconds": None},
        {"wall_seconds": 2.0, "best_seconds": 2.0},
        {"wall_seconds": 3.0, "best_seconds": 1.0},
    ]
    assert first_reached(curve, 2.0, 1.0) == 2.0
    assert first_reached(curve, 2.0, 1.5) == 3.0
    assert first_reached(curve, 2.0, 3.0) is None


def test_ratio_of_nothing_is_nothing():
    assert ratio(None, 1.0) is None
    assert ratio(1.0, None) is None


def test_the_share_of_the_peak_is_of_the_same_round():
    slow = result(
        outcomes={
            "tirtune": {"turns_seconds": [1e-3, 2e-3]},
            "tirtune, seed 1": {"turns_seconds": [2e-3, 4e-3]},
            "tirtune, seed 2": {"turns_seconds": []},
            "peak": {"turns_seconds": [0.9e-3, 1.8e-3]},
        }
    )
    assert share_of_peak(slow) == pytest.approx((0.9 + 0.45) / 2)
    slow["outcomes"]["peak"]["turns_seconds"] = []
    assert share_of_peak(slow) is None


def test_differences_divide_the_peak_out():
    faster = result(ours=0.5e-3)
    faster["outcomes"]["peak"]["turns_seconds"] = [0.25e-3, 0.5e-3, 0.45e-3]
    first, second = differences({"results": [result()]}, {"results": [faster, result("sfm:2,2")]})
    assert first["speedup"] == pytest.approx(2.0)
    assert first["speedup_of_peak"] == pytest.approx(1.0)
    assert second["speedup"] is None
    assert len(compare_table([first, second]).splitlines()) == 5


def test_steps_keep_improvements_and_the_end():
    curve = [{"trial": i, "best_seconds": best} for i, best in enumerate([None, 2.0, 2.0, 1.0, 1.0], 1)]
    assert steps(curve, "trial") == ([2.0, 4.0, 5.0], [2000.0, 1000.0, 1000.0])
    assert steps(curve, "trial", 3.0) == ([2.0, 4.0, 5.0], [6000.0, 3000.0, 3000.0])
    assert steps(curve[:1], "trial", 3.0) == ([], [])
