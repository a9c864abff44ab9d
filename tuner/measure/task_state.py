"""What the processes of one task share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_space.workload import Workload
from tuner.measure import messages as m
from tuner.measure.buffers import Arguments
from tuner.measure.references import References


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a task server holds and its children inherit.

    Attributes:
        opened: The message that opened the task.
        context: What the entry point's ``prepare`` returned; None before it was called.
        materialize: The entry point's ``materialize``.
        target: The target as a TVM object.
        arguments: Buffers, the inputs filled with the ``random`` set.
        references: Reference outputs, shared and read-only.
        reduction: Terms summed into one output element.
        workload: What is computed; its constants are packed before the clock starts.
        reference_seconds: About how long one run of the reference program takes on this CPU.
        canary: For a device, the kernel from which its drift is read, as a child gets it.
    """

    opened: m.OpenTask
    context: Any
    materialize: Callable[[Any, dict[str, Any]], Any]
    target: Any
    arguments: Arguments
    references: References
    reduction: float
    workload: Workload
    reference_seconds: float = 0.0
    canary: bytes = b""

    @property
    def is_device(self) -> bool:
        """Whether kernels run on a device of this machine and not on its CPU."""
        return not self.opened.remote and str(self.target.kind.name) != "llvm"
