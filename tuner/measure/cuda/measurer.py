"""The measurer of a GPU of this machine: builds on the CPU go on while one candidate runs on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from search_space.cuda_runtime import RUNTIME, load_cuda_runtime
from search_space.tvm_api import tvm
from tuner.errors import JobFailed
from tuner.measure.base import Baseline, MeasureTask
from tuner.measure.clock import Clock
from tuner.measure.cuda.runner import DeviceRunner
from tuner.measure.cuda.toolkit import find_toolkit, has_driver
from tuner.measure.fork_runner import ForkRunner
from tuner.measure.local import LocalMeasurer
from tuner.measure.options import MeasureOptions


class DeviceMeasurer(LocalMeasurer):
    """Measures on the GPU of this machine.

    Candidates are built in forked children on the CPU, in parallel and without a pause. One process of each
    task owns the device: it gets their machine code and runs one at a time.

    Args:
        options: Limits and habits.
        clock: Source of time for deadlines.
    """

    def __init__(self, options: MeasureOptions | None = None, clock: Clock | None = None) -> None:
        self._running = ""
        super().__init__(options, clock)

    def open(self, task: MeasureTask) -> Baseline:
        """Prepare a task: inputs, reference outputs, the untuned program's time on the device.

        Raises:
            JobFailed: If there is no compiler or no device, or the untuned program does not run.
        """
        require_device()
        self._running = task.key
        baseline = super().open(task)
        # Until there is an incumbent the untuned program is the measure: the reference ran on the CPU.
        self._tasks[task.key].bound_seconds = baseline.seconds
        return baseline

    def close(self) -> None:
        """End every process that the measurer started."""
        self.device.close()
        super().close()

    def _make_runner(self) -> ForkRunner:
        self.device = DeviceRunner(self.supervisor, self._tasks, self.options)
        return self.device

    def _window(self) -> int:
        return 1

    @contextmanager
    def _while_running(self, key: str) -> Iterator[None]:
        self._running = key
        yield

    def _sample_canary(self) -> list[float]:
        return self.device.sample_canary(self._running)


def require_device() -> None:
    """Refuse to measure where nothing can be built or run.

    Raises:
        JobFailed: With what is missing and what to do.
    """
    find_toolkit()
    remedy = "to build candidates without one, add --build-only"
    if not has_driver():
        raise JobFailed(f"no NVIDIA driver is installed here, so nothing can be measured on a GPU; {remedy}")
    if not load_cuda_runtime():
        raise JobFailed(
            f"{RUNTIME} of CUDA 13 was not found, which TVM needs to run kernels: "
            f"pip install 'tirtune[cuda]'; {remedy}"
        )
    if not tvm.cuda(0).exist:
        raise JobFailed(
            f"a driver is installed, but no CUDA device answers: does nvidia-smi list one, does the driver "
            f"support CUDA 13? {remedy[0].upper()}{remedy[1:]}"
        )
