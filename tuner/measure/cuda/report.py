"""What the assembler says of every kernel: registers, spills, shared memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One kernel as ``ptxas -v`` describes it.

    Attributes:
        name: The kernel.
        registers: 32-bit registers of a thread.
        stack_bytes: Local memory of a thread: arrays that are not in registers, and spills.
        spill_store_bytes: Bytes that a thread writes to local memory for want of registers.
        spill_load_bytes: Bytes that it reads back.
        shared_bytes: Static shared memory of a block.
    """

    name: str
    registers: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int
    shared_bytes: int

    @property
    def spill_bytes(self) -> int:
        """Bytes written and read for want of registers, per thread."""
        return self.spill_store_bytes + self.spill_load_bytes


def parse_report(log: str) -> tuple[KernelReport, ...]:
    """Read a compiler's output.

    Args:
        log: What NVRTC or nvcc printed with ``--ptxas-options=-v``.

    Returns:
        One report per entry function, in order.

    Raises:
        ValueError: If an entry function is announced and not described.
    """
    sections = _ENTRY.split(log)
    return tuple(_one(name, text) for name, text in zip(sections[1::2], sections[2::2], strict=True))


def _one(name: str, text: str) -> KernelReport:
    registers = _REGISTERS.search(text)
    if registers is None:
        raise ValueError(f"the assembler's report of kernel {name} says nothing of its registers")
    # Device functions that were not inlined have properties of their own; the entry's are named like it.
    own = next((m for m in _PROPERTIES.finditer(text) if m.group(1) == name), None)
    stack = _STACK.search(text, 0 if own is None else own.end())
    frame, stores, loads = (0, 0, 0) if stack is None else (int(number) for number in stack.groups())
    line = text[registers.start() :].partition("\n")[0]
    shared = _SHARED.search(line)
    return KernelReport(
        name=name,
        registers=int(registers.group(1)),
        stack_bytes=frame,
        spill_store_bytes=stores,
        spill_load_bytes=loads,
        shared_bytes=int(shared.group(1)) if shared else 0,
    )
