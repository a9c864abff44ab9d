"""Reports of the compiler as features: known where there is one, learned from the others' where not."""

from types import SimpleNamespace

import numpy as np
import pytest

from cost_models.describe import reports_for
from cost_models.gpu.features import GPU_COLUMN_INDEX, GPU_COLUMNS
from cost_models.gpu.reported import CompilerReports, NothingReported
from search_space.hardware_gpu import gpu_hardware

pytestmark = pytest.mark.pure

ESTIMATE = GPU_COLUMN_INDEX["main_registers"]
REGISTERS = GPU_COLUMN_INDEX["reported_registers"]
SPILLS = GPU_COLUMN_INDEX["reported_spill_bytes"]
ILP = GPU_COLUMN_INDEX["main_ilp"]


def rows(count: int, seed: int) -> np.ndarray:
    """Features of made-up candidates, the compiler's columns as before the first report."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, len(GPU_COLUMNS)), np.float32)
    found[:, ILP] = rng.uniform(1, 6, count)
    found[:, ESTIMATE] = 5 + 0.4 * found[:, ILP]
    found[:, REGISTERS] = found[:, ESTIMATE]
    return found


def compiled(features: np.ndarray) -> list[dict[str, float]]:
    """A compiler that needs the more above the estimate the more results a thread holds, and then spills."""
    registers = np.exp2(features[:, ESTIMATE] + 0.2 * (features[:, ILP] - 1)) - 1
    spills = np.where(features[:, ILP] > 5, 200.0, 0.0)
    return [{"registers": float(r), "spill_bytes": float(s)} for r, s in zip(registers, spills, strict=True)]


def test_before_the_first_report_the_estimate_stands() -> None:
    features = rows(4, 0)
    before = features.copy()
    CompilerReports().fill(features)
    assert np.array_equal(features, before)


def test_what_was_built_has_its_own_report() -> None:
    reports, features = CompilerReports(), rows(3, 0)
    facts = [{"registers": 63.0, "spill_bytes": 3.0}, {}, {"drift": 1.0}]
    reports.observe(features, facts)
    assert features[0, [REGISTERS, SPILLS]].tolist() == [6.0, 2.0]
    assert np.array_equal(features[1:, REGISTERS], features[1:, ESTIMATE])


def test_reports_of_some_candidates_correct_the_estimates_of_others() -> None:
    reports, seen, others = CompilerReports(), rows(48, 1), rows(32, 2)
    reports.observe(seen, compiled(seen))
    truth = np.log2(1 + np.array([[f["registers"], f["spill_bytes"]] for f in compiled(others)]))
    blind = np.abs(others[:, ESTIMATE] - truth[:, 0]).mean()
    reports.fill(others)
    assert np.abs(others[:, REGISTERS] - truth[:, 0]).mean() < 0.4 * blind
    assert others[truth[:, 1] > 0, SPILLS].mean() > 2 * others[truth[:, 1] == 0, SPILLS].mean()
    assert (others[:, [REGISTERS, SPILLS]] >= 0).all()


def test_observing_without_reports_still_predicts() -> None:
    reports, seen, later = CompilerReports(), rows(16, 1), rows(5, 3)
    reports.observe(seen, compiled(seen))
    filled = later.copy()
    reports.fill(filled)
    reports.observe(later, ())
    assert np.array_equal(later, filled)
    assert not np.array_equal(later[:, REGISTERS], later[:, ESTIMATE])


def test_reports_must_be_as_many_as_candidates() -> None:
    with pytest.raises(ValueError, match="shorter"):
        CompilerReports().observe(rows(2, 0), [{}])


def test_only_gpus_report() -> None:
    assert isinstance(reports_for(gpu_hardware({"arch": "sm_80"})), CompilerReports)
    assert isinstance(reports_for(SimpleNamespace(kind="cpu")), NothingReported)
