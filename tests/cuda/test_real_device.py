"""The cases of measuring on a GPU, on a real one: run with ``pytest -m gpu``."""

import pytest
from device_cases import *  # noqa: F403

pytestmark = pytest.mark.gpu
