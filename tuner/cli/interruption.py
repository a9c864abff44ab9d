"""Ctrl-C and SIGTERM: end a run early without losing what was measured."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CALLS_BACK = ("tvm", "tvm_ffi", "xgboost")
"""Libraries whose C code calls Python back. What they do takes a second or so."""


class Interruption:
    """Raises ``KeyboardInterrupt`` for both signals, and remembers that it did.

    An exception that a signal handler raises inside a callback of a C library is lost: the library prints it
    and goes on. Inside such libraries the signal is therefore only remembered; whoever calls :meth:`check`
    now and then raises it.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals."""
        self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if a signal came."""
        if self.is_requested:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True
        if not _is_inside_library(frame):
            raise KeyboardInterrupt


def _is_inside_library(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _CALLS_BACK:
            return True
        frame = frame.f_back
    return False
