"""What the register tile promises, looked up in the machine code: accumulators never leave the registers."""

import re

import numpy as np
import pytest

from search_space.candidate import context_of, materialize, sketch_plan
from search_space.hardware import resolve_target
from tuner.measure.build import compile_module
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

VECTORS = {"skylake-avx512": ("zmm", 16, 32), "haswell": ("ymm", 8, 16)}
"""CPU to its widest registers, their float32 lanes and their number; nothing is run: any machine will do."""


def loops(assembly: str) -> list[list[str]]:
    """Return the instructions of every innermost loop: from a label to a jump back to it."""
    found: list[list[str]] = []
    since: dict[str, int] = {}
    lines = [line.strip() for line in assembly.splitlines()]
    for number, line in enumerate(lines):
        if label := re.fullmatch(r"(\.L\w+):.*", line):
            since[label[1]] = number
        elif (jump := re.match(r"j\w+\s+(\.L\w+)", line)) and jump[1] in since:
            body = lines[since[jump[1]] + 1 : number]
            if not any(re.match(r"j\w+\s+\.L\w+", other) for other in body):
                found.append([other for other in body if other and not other.startswith((".", "#"))])
    return found


def busiest_loop(spec: str, cpu: str, rows: int, vectors: int) -> list[str]:
    """Compile a candidate with a register tile of rows x vectors; return its loop of multiply-adds."""
    lanes = VECTORS[cpu][1]
    context = context_of(named_workload(spec), resolve_target(f"llvm -mcpu={cpu}", threads=2))
    sketch = context.sketches["tiled"]
    sampled = sketch.sample(np.random.default_rng(0), 4000)
    columns = sketch.space.columns(sampled)
    block = next(s.name for s in sketch.space.slots if s.name.endswith(".tile.i")).removesuffix(".tile.i")
    row, column = columns.tile(f"{block}.tile.i"), columns.tile(f"{block}.tile.j")
    steps = columns.tile(f"{block}.tile.k")
    wanted = (row[:, 3] == rows) & (column[:, 3] == vectors) & (column[:, -1] == lanes)
    # Loops are left after unrolling, ours and LLVM's, which would jam the tiles of a short loop together.
    wanted &= (steps[:, 1] >= 8) & (row[:, 2] > 2)
    assert wanted.any(), "no candidate has this register tile"
    module = materialize(context, sketch_plan(sketch, sampled[np.argmax(wanted)])).module
    assembly = compile_module(module, context.target).mod.inspect_source("s")
    return max(loops(assembly), key=lambda body: sum("vfmadd" in line for line in body))


@pytest.mark.parametrize(
    ("cpu", "rows", "vectors"),
    [("skylake-avx512", 12, 2), ("skylake-avx512", 8, 2), ("skylake-avx512", 6, 4), ("haswell", 6, 2)],
)
def test_accumulators_stay_in_registers(cpu: str, rows: int, vectors: int) -> None:
    register, _, count = VECTORS[cpu]
    body = busiest_loop("gmm:1,192,256,256", cpu, rows, vectors)
    products = [line for line in body if line.startswith("vfmadd")]
    assert len(products) >= rows * vectors
    assert len(products) % (rows * vectors) == 0
    accumulators = {line.split("%")[-1] for line in products}
    assert len(accumulators) == rows * vectors <= count
    assert all(name.startswith(register) for name in accumulators)
    stores = [line for line in body if re.match(r"vmov\w+\s+%[xyz]mm\d+.*\(", line)]
    assert not stores, "the loop writes vectors to memory"
    assert not [line for line in body if "(%rsp" in line and f"%{register}" in line], (
        "the loop uses the stack"
    )
