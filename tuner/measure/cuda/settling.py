"""When the clocks of a device hold still."""

from __future__ import annotations

from collections.abc import Sequence

CANARY = -1
"""The number by which the tuner names the canary kernel (``Repeat.which``)."""

_LOOKS = 3
_SPREAD = 0.02


def has_settled(samples: Sequence[float]) -> bool:
    """Report whether the last times of one kernel are alike.

    Args:
        samples: Seconds, oldest first.
    """
    last = samples[-_LOOKS:]
    return len(last) == _LOOKS and max(last) <= (1 + _SPREAD) * min(last)
