"""The draft model orders what everybody knows the order of."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from nests import Machine, matmul

from cost_models.analytic import Calibration, default_calibration, draft_seconds

pytestmark = pytest.mark.pure

MACHINE = Machine()


def test_draft_never_beats_the_peak():
    nests = matmul(np.random.default_rng(0), 2048, 768, 768, 768)
    seconds = draft_seconds(nests, MACHINE)
    peak = default_calibration(MACHINE).peak_flops * MACHINE.cores
    assert (nests.useful_flops / seconds <= peak * 1.001).all()
    assert nests.useful_flops / seconds.min() > 0.5 * peak


def test_vectors_help():
    nests = matmul(np.random.default_rng(1), 512, 256, 256, 256, auxiliary=False)
    lanes = nests.stages[0].extents[:, -1]
    seconds = draft_seconds(nests, MACHINE)
    assert np.median(seconds[lanes == 1]) > 4 * np.median(seconds[(lanes >= 16) & (lanes <= 64)])


def test_a_slower_machine_is_slower():
    nests = matmul(np.random.default_rng(2), 64, 256, 256, 256)
    fast = default_calibration(MACHINE)
    slow = Calibration(
        **{name: value if "fork" in name else value / 2 for name, value in asdict(fast).items()}
    )
    assert (draft_seconds(nests, MACHINE, slow) > draft_seconds(nests, MACHINE, fast)).all()


def test_fork_and_join_count_for_each_parallel_region():
    nests = matmul(np.random.default_rng(3), 4, 16, 16, 16)
    usual = default_calibration(MACHINE)
    near = draft_seconds(nests, MACHINE, replace(usual, fork_join_seconds=1e-6))
    far = draft_seconds(nests, MACHINE, replace(usual, fork_join_seconds=1e-3))
    np.testing.assert_allclose(far - near, 3 * (1e-3 - 1e-6), rtol=1e-3)


def test_calibration_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"dram_bytes_per_second=0"):
        replace(default_calibration(MACHINE), dram_bytes_per_second=0)
    with pytest.raises(ValueError, match=r"peak_flops=nan"):
        Calibration(float("nan"), 1, 1, 1, 1)
