"""Many trials of a tiny kernel leave nothing behind: the small version of ``scripts/bench/leak.py``."""

from __future__ import annotations

import pytest

from scripts.bench.leak import watch

pytestmark = pytest.mark.tvm


def test_two_hundred_trials_leak_nothing() -> None:
    first, *_, last = watch(200, 50)
    assert (first.trials, last.trials) == (50, 200)
    assert last.failed <= 0.1 * last.trials
    assert last.processes <= first.processes
    assert last.descriptors <= first.descriptors
    assert last.servers_descriptors <= first.servers_descriptors
    assert last.parent_bytes < 1.1 * first.parent_bytes
    assert last.servers_bytes < 1.1 * first.servers_bytes


@pytest.mark.slow
def test_ten_thousand_trials_leak_nothing() -> None:
    first, *_, last = watch(10_000, 500)
    assert last.failed <= 0.1 * last.trials
    assert last.processes <= first.processes
    assert last.descriptors <= first.descriptors
    assert last.servers_descriptors <= first.servers_descriptors
    assert last.parent_bytes < 1.1 * first.parent_bytes
    assert last.servers_bytes < 1.1 * first.servers_bytes
