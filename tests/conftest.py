"""Rules that hold for every test."""

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time, and a busy machine may stop any example for a second.
settings.register_profile("tirtune", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tirtune")

NEEDS = {"pure", "tvm", "gpu"}


def pytest_collection_modifyitems(items):
    """Refuse a test that does not say what it needs."""
    unmarked = [item.nodeid for item in items if not NEEDS & {marker.name for marker in item.iter_markers()}]
    if unmarked:
        raise pytest.UsageError(
            f"mark these tests with one of {', '.join(sorted(NEEDS))}: {', '.join(unmarked[:5])}"
        )
