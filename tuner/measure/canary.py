"""A fixed kernel whose time shows whether the machine still is what it was."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from search_space.tvm_api import IRModule, te, tvm
from tuner.measure.build import Built, build_timed
from tuner.measure.reference import reordered

MOVED = 0.1
"""A canary that moved by more than this marks what was measured around it."""

_LARGEST_FACTOR = 2.5
_SLOW = 1.2
_PAUSE_SECONDS = 0.1
_LOOKS = 3
_LANES = 64
_STEPS = (96, 2048)


def canary_kernel(target: str, threads: int) -> tuple[Built, list[Any]]:
    """Build the kernel: independent multiply-adds out of the first cache level, on every thread.

    Args:
        target: JSON text of the target.
        threads: One row of work a thread.

    Returns:
        The kernel (about half a millisecond) and its arguments.
    """
    outer, inner = _STEPS
    left = te.placeholder((threads, inner), name="left")
    right = te.placeholder((outer, _LANES), name="right")
    i = te.reduce_axis((0, outer), name="i")
    k = te.reduce_axis((0, inner), name="k")
    total = te.compute(
        (threads, _LANES), lambda t, v: te.sum(left[t, k] * right[i, v], axis=[i, k]), name="total"
    )
    function = te.create_prim_func([left, right, total]).with_attr("global_symbol", "main")
    built = build_timed(reordered(IRModule({"main": function})), tvm.target.Target(target))
    shapes = ((threads, inner), (outer, _LANES), (threads, _LANES))
    return built, [tvm.runtime.tensor(np.full(shape, 0.5, np.float32)) for shape in shapes]


class DriftMeter:
    """Turns canary times into how much slower the machine is than at its best in this session.

    A factor is the median of the last looks over the fastest look so far: one look that was disturbed by
    another process changes nothing, a machine that clocks down does. It is taken out of results only up to
    a limit, because what disturbs the canary more than that does not disturb every kernel alike.

    A virtual machine can be much slower for a second or so, when both of its processors are put on one core
    of the host. Then it is better to wait than to measure: see :meth:`settle`.

    Args:
        sample: Runs the canary and returns seconds per call of a few repeats; none when that look was missed,
            which changes nothing.
        patience_seconds: Longest wait for a machine that is slow; it is given anew once the machine is well.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        sample: Callable[[], list[float]],
        patience_seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sample = sample
        self._patience_seconds = self._left_seconds = patience_seconds
        self._sleep = sleep
        self._best = float("inf")
        self._looks: deque[float] = deque(maxlen=_LOOKS)
        self.moved = 1.0

    @property
    def factor(self) -> float:
        """How much slower the machine is, between 1 and the limit."""
        return min(max(self.moved, 1.0), _LARGEST_FACTOR)

    @property
    def is_suspect(self) -> bool:
        """Whether the machine is more than a tenth slower than at its best."""
        return self.moved > 1.0 + MOVED

    def look(self) -> float:
        """Run the canary and return the factor; several times in a row where the machine is or was slow."""
        latest = self._take()
        if latest is None:
            return self.factor
        if len(self._looks) < _LOOKS or self.is_suspect or latest > (1.0 + MOVED) * self._best:
            for _ in range(_LOOKS - 1):
                self._take()
        self._best = min(self._best, *self._looks)
        self.moved = median(self._looks) / self._best
        return self.factor

    def _take(self) -> float | None:
        seconds = self._sample()
        if not seconds:
            return None
        self._looks.append(min(seconds))
        return self._looks[-1]

    def settle(self) -> None:
        """Look, and wait while the machine is slow and there is patience left."""
        self.look()
        while self.moved > _SLOW and self._left_seconds > 0:
            pause = min(_PAUSE_SECONDS, self._left_seconds)
            self._left_seconds -= pause
            self._sleep(pause)
            self.look()
        if self.moved <= _SLOW:
            self._left_seconds = self._patience_seconds
