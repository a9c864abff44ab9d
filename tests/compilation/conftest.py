from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository():
    return Path(__file__).parents[2]
