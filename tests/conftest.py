"""Rules that hold for every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time, and a busy machine may stop any example for a second.
settings.register_profile("tirtune", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What a change is judged by draws the same examples every time; who works on the code draws new ones.
settings.register_profile("gate", settings.get_profile("tirtune"), derandomize=True)
settings.load_profile(os.environ.get("TIRTUNE_HYPOTHESIS_PROFILE", "tirtune"))

NEEDS = {"pure", "tvm", "gpu"}


def pytest_collection_modifyitems(items):
    """Refuse a test that does not say what it needs."""
    unmarked = [item.nodeid for item in items if not NEEDS & {marker.name for marker in item.iter_markers()}]
    if unmarked:
        raise pytest.UsageError(
            f"mark these tests with one of {', '.join(sorted(NEEDS))}: {', '.join(unmarked[:5])}"
        )
