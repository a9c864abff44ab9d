"""Numbers for people: durations, rates, ratios, shares."""

from __future__ import annotations

import math


def seconds(value: float | None) -> str:
    """Return a duration: ``12.3 us``, ``4.56 ms``, ``7.80 s``, ``3 min 20 s``."""
    if value is None:
        return "-"
    if value >= 120:
        whole = round(value)
        hours, rest = divmod(whole, 3600)
        return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
    for limit, factor, unit in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "us")):
        if value >= limit:
            return f"{_three_digits(value * factor)} {unit}"
    return f"{value} s"


def rate(value: float | None) -> str:
    """Return a rate in GFLOP/s."""
    return "-" if value is None else _three_digits(value)


def times(value: float | None) -> str:
    """Return a ratio, such as ``12.3x``."""
    return "-" if value is None else f"{_three_digits(value)}x"


def per_cent(value: float | None) -> str:
    """Return a share, such as ``12.3%``."""
    return "-" if value is None else f"{100 * value:.1f}%"


def bytes_text(value: float) -> str:
    """Return a size: ``512 B``, ``48.0 KiB``, ``23.5 GiB``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << power:
            return f"{_three_digits(value / (1 << power))} {unit}"
    return f"{value:.0f} B"


def counted(count: int, noun: str) -> str:
    """Return a number of things: ``1 record``, ``2 records``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 4)}f}"
