"""Rules that hold for every test."""

import pytest

NEEDS = {"pure", "tvm", "gpu"}


def pytest_collection_modifyitems(items):
    """Refuse a test that does not say what it needs."""
    unmarked = [item.nodeid for item in items if not NEEDS & {marker.name for marker in item.iter_markers()}]
    if unmarked:
        raise pytest.UsageError(
            f"mark these tests with one of {', '.join(sorted(NEEDS))}: {', '.join(unmarked[:5])}"
        )
