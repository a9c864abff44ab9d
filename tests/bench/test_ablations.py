"""The table of the ablations from made-up runs."""

import pytest

from scripts.bench.ablations import ALL_ON, best_after, checkpoints, markdown, table, variants
from tuner.errors import UserError
from tuner.options import ABLATIONS, TuneOptions

pytestmark = pytest.mark.pure


def run(workload, variant, *bests, seed=0):
    curve = [{"trial": i + 1, "wall_seconds": float(i), "best_seconds": b} for i, b in enumerate(bests)]
    return {"workload": workload, "variant": variant, "seed": seed, "wall_seconds": 2.0, "curve": curve}


def test_every_part_is_switched_off_alone():
    found = variants(tuple(ABLATIONS))
    assert found.pop(ALL_ON) == ()
    assert {name: (name,) for name in ABLATIONS} == found
    for disable in found.values():
        assert TuneOptions(disable=disable).to_dict()["disable"] == list(disable)


def test_an_unknown_part_is_refused():
    with pytest.raises(UserError, match=r"--disable magic: unknown; use one of draft, pretrained"):
        TuneOptions(disable=("magic",))


def test_checkpoints_halve_the_budget():
    assert checkpoints(64) == [8, 16, 32, 64]
    assert checkpoints(10) == [10]


def test_ratios_compare_with_the_whole_at_equal_trials():
    runs = [
        run("a:1", ALL_ON, 4.0, 2.0, 1.0),
        run("a:1", "draft", None, 4.0, 2.0),
        run("b:1", ALL_ON, 1.0, 1.0, 1.0),
        run("b:1", "draft", 8.0, 8.0, 8.0),
    ]
    assert best_after(runs[0], 2) == 2.0
    whole, draft = table(runs, [1, 3])
    assert whole["ratios"] == [1.0, 1.0]
    assert draft["ratios"] == [pytest.approx(8.0), pytest.approx(4.0)]
    assert draft["worst"] == {"workload": "b:1", "ratio": 8.0}
    text = markdown([whole, draft], [1, 3])
    assert "| draft | 8.00 | 4.00 | b:1 8.00 | 2 |" in text
