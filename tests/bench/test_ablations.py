"""The table of the ablations from made-up runs."""

import numpy as np
import pytest

from scripts.bench.ablations import ALL_ON, best_after, checkpoints, markdown, table, variants
from scripts.bench.effects import effect, scatter
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
    with pytest.raises(UserError, match=r"--parts magic: unknown; use one of draft, pretrained"):
        variants(("magic",))
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
    assert [each["ratio"] for each in whole["effects"]] == [1.0, 1.0]
    assert [each["ratio"] for each in draft["effects"]] == [pytest.approx(8.0), pytest.approx(4.0)]
    assert draft["effects"][0]["low"] is None
    assert draft["worst"] == {"workload": "b:1", "ratio": pytest.approx(8.0)}
    text = markdown([whole, draft], [1, 3])
    assert "| draft | 8.00 | 4.00 | b:1 8.00 | 1.00 |" in text
    assert "everything" not in text


def test_noise_is_told_from_an_effect():
    runs = []
    for seed, noise in enumerate((0.97, 1.0, 1.03)):
        runs += [run("a:1", ALL_ON, 1.0 / noise, seed=seed), run("b:1", ALL_ON, 2.0 * noise, seed=seed)]
        runs += [run("a:1", "draft", 1.3 * noise, seed=seed), run("b:1", "draft", 2.6 / noise, seed=seed)]
        runs += [run("a:1", "descent", 1.01 * noise, seed=seed), run("b:1", "descent", 2.0, seed=seed)]
        runs += [run("a:1", "racing", 0.8 * noise, seed=seed), run("b:1", "racing", 1.6, seed=seed)]
    text = markdown(table(runs, [1]), [1])
    cells = {line.split(" | ")[0][2:]: line.split(" | ")[1] for line in text.splitlines()[2:]}
    assert cells["draft"].startswith("**1.30 (1.2") and cells["racing"].startswith("**0.80 (0.7")
    assert cells["descent"].startswith("1.0")


def test_curves_are_scaled_to_what_the_final_kernel_takes():
    slow_hour = {**run("a:1", ALL_ON, 8.0, 4.0), "final_seconds": 2.0}
    assert [best_after(slow_hour, trials) for trials in (1, 2)] == [4.0, 2.0]
    assert best_after({**slow_hour, "final_seconds": None}, 2) == 4.0


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        cells = [list(np.exp(rng.normal(0, 0.1, 3))) for _ in range(6)]
        without, whole = dict(enumerate(cells[:3])), dict(enumerate(cells[3:]))
        found = effect(without, whole, *scatter(cells))
        covered += found.low <= 1.0 <= found.high
    assert 0.91 < covered / 400 < 0.99
