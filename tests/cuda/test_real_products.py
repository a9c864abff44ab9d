"""Products on tensor cores of a real GPU: run with ``pytest -m gpu``."""

import pytest
from product_cases import *  # noqa: F403

pytestmark = pytest.mark.gpu
