"""A short run of the fuzzer; the long one is ``python tests/records/fuzz_reader.py 1000000``."""

import pytest
from fuzz_reader import fuzz

pytestmark = pytest.mark.pure


def test_damaged_logs_are_read_without_a_crash(tmp_path):
    fuzz(6000, 7, tmp_path)


@pytest.mark.slow
def test_more_damaged_logs_are_read_without_a_crash(tmp_path):
    fuzz(200_000, 11, tmp_path)
