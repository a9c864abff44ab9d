"""The feature columns: names, units and meaning, in the order of the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FEATURE_VERSION = 3
"""Raised whenever a column changes; weights and saved models of another version are refused."""

ROLES = ("output", "input0", "input1", "input2")
"""Buffers of the main stage that have columns of their own; inputs by size, largest first."""

LEVELS = ("l1", "l2", "l3")
"""Cache levels; the last one is a core's share."""

CAPACITIES = (
    ("l1", 1 / 16),
    ("l1", 1 / 4),
    ("l1", 1 / 2),
    ("l1", 1.0),
    ("l2", 1 / 4),
    ("l2", 1 / 2),
    ("l2", 1.0),
    ("l3", 1 / 16),
    ("l3", 1 / 4),
    ("l3", 1.0),
)
"""Cache sizes at which the intensity curve is sampled."""

INNER_LOOPS = 4
AUXILIARY_NAMES = ("pack", "epilogue", "pad")


@dataclass(frozen=True, slots=True)
class Column:
    """One feature.

    Attributes:
        name: Identifier; the first word is the group.
        unit: Unit of the quantity before scaling.
        is_log: Whether the matrix holds ``log2(1 + value)`` in place of the value.
        meaning: One sentence.
    """

    name: str
    unit: str
    is_log: bool
    meaning: str


def _loops() -> list[Column]:
    log = [
        ("iterations", "1", "body executions in all, padding included"),
        ("flops", "flop", "operations, padding included"),
        ("useful_flops", "flop", "operations that the workload needs, of all stages"),
        ("padding_waste", "1", "operations over useful operations"),
        ("executions", "1", "how often the nest runs"),
        ("transcendentals", "1", "calls of exp, erf, tanh"),
        ("spatial", "1", "product of spatial extents"),
        ("reduction", "1", "product of reduction extents"),
    ]
    columns = [Column(f"main_{name}", unit, True, f"Main stage: {text}.") for name, unit, text in log]
    columns.append(Column("main_predicated", "1", False, "Main stage: fraction of iterations masked out."))
    columns.append(Column("main_depth", "loops", False, "Main stage: loops of more than one iteration."))
    for place in range(INNER_LOOPS):
        which = f"loop {place} of those with more than one iteration, counted from the innermost"
        columns.append(Column(f"inner_extent_{place}", "1", True, f"Trip count of {which}; 0 without."))
        columns.append(
            Column(f"inner_kind_{place}", "1", False, f"1 spatial, 2 reduction: {which}; 0 without.")
        )
    return columns


def _registers() -> list[Column]:
    return [
        Column("vector_lanes", "lanes", True, "Extent of the vector loop; 1 for scalar code."),
        Column("vector_registers", "registers", True, "Registers that one vector of that extent takes."),
        Column("vector_use", "1", False, "Lanes used over lanes issued."),
        Column("register_accumulators", "registers", True, "Registers that hold results."),
        Column("register_pressure", "1", True, "Registers needed over those that exist."),
        Column("register_resident", "1", False, "1 if results stay in registers during the reduction."),
        Column("register_iterations", "1", True, "Body executions of the register tile."),
        Column("register_loads", "1", True, "Load instructions for one vector multiply-add."),
        Column("register_stores", "1", True, "Store instructions for one vector multiply-add."),
        Column("register_row", "registers", True, "Vectors of the widest contiguous input of the tile."),
        Column(
            "register_independence", "1", False, "Fraction of the peak that the accumulators in flight allow."
        ),
        Column("code_size", "bodies", True, "Vector bodies in the branch-free innermost part."),
        Column("code_reduction", "1", True, "Reduction steps in the branch-free part."),
        Column("code_branches", "1", True, "Executions of the branch-free part."),
    ]


def _parallel() -> list[Column]:
    return [
        Column("parallel_tasks", "tasks", True, "Parallel tasks of the main stage; 1 for serial."),
        Column("parallel_tasks_per_core", "1", True, "Tasks over cores."),
        Column("parallel_balance", "1", False, "Cores busy on average until the last task ends, over cores."),
        Column("parallel_flops_per_task", "flop", True, "Operations of one task."),
        Column("parallel_regions", "1", True, "Fork/join regions of all stages."),
    ]


def _caches() -> list[Column]:
    columns = []
    for level in LEVELS:
        columns += [
            Column(f"{level}_iterations", "1", True, f"Bodies below the outermost cut that fits in {level}."),
            Column(f"{level}_sweeps", "1", True, f"How often that part runs (main stage, {level})."),
            Column(f"{level}_fill", "1", False, f"Its working set over the capacity of {level}."),
            Column(f"{level}_traffic", "bytes", True, f"Bytes moved between {level} and the level above."),
        ]
    for place, (level, part) in enumerate(CAPACITIES):
        size = level if part == 1 else f"{level}/{round(1 / part)}"
        columns.append(
            Column(
                f"intensity_{place}",
                "flop/byte",
                True,
                f"Operations for each byte moved, for a cache of {size}.",
            )
        )
    return columns


def _buffers() -> list[Column]:
    columns = []
    for role in ROLES:
        what = "the output" if role == "output" else f"input {role[-1]} by size"
        columns += [
            Column(f"{role}_{name}", unit, is_log, f"{text} ({what} of the main stage).")
            for name, unit, is_log, text in (
                ("bytes", "bytes", True, "Distinct bytes touched; 0 if there is no such buffer"),
                ("reads_per_byte", "1", True, "Body accesses for each distinct element"),
                (
                    "lane_stride",
                    "elements",
                    True,
                    "Distance of neighbouring lanes; 0 the same element, 1 next",
                ),
                ("l1_traffic", "bytes", True, "Bytes moved into l1"),
                ("l2_traffic", "bytes", True, "Bytes moved into l2"),
                ("l1_share", "1", False, "Lines kept in l1 over its capacity"),
                ("l2_share", "1", False, "Lines kept in l2 over its capacity"),
                ("line_use", "1", False, "Bytes used of the lines kept in l1"),
                ("run", "bytes", True, "Contiguous bytes within the part kept in l1"),
                ("pages", "4 KiB pages", True, "Pages of the part kept in l2"),
                ("conflicts", "1", True, "Steps in the l2 part at strides that are multiples of 4096 bytes"),
                ("reuse", "1", True, "Trip count of the innermost loop that uses the same elements again"),
                ("reuse_distance", "1", True, "Body executions between two such uses"),
                ("reuse_bytes", "1", True, "Working set between two such uses over l1"),
            )
        ]
    return columns


def _auxiliary() -> list[Column]:
    columns = [
        Column("aux_stages", "1", False, "Stages besides the main one."),
        Column("aux_read", "bytes", True, "Bytes read by them."),
        Column("aux_written", "bytes", True, "Bytes written by them."),
        Column("aux_flops", "flop", True, "Operations of them."),
        Column("aux_transcendentals", "1", True, "Calls of exp, erf, tanh in them."),
        Column("aux_scalar", "bytes", True, "Bytes of those without vectors."),
        Column("aux_strided", "bytes", True, "Bytes of accesses of them with lanes that are not neighbours."),
        Column("aux_serial", "bytes", True, "Bytes of those that run on one core."),
        Column("aux_executions", "1", True, "The most executions of one of them."),
        Column("aux_working_set", "1", True, "The largest working set of one execution over l1."),
    ]
    columns += [
        Column(f"aux_{name}", "bytes", True, f"Bytes read and written by stages named {name}.")
        for name in AUXILIARY_NAMES
    ]
    return columns


def _program() -> list[Column]:
    columns = [
        Column("program_footprint_l2", "1", True, "Bytes of all buffers over l2."),
        Column("program_footprint_l3", "1", True, "Bytes of all buffers over l3."),
        Column("program_workspace", "1", True, "Bytes allocated besides the arguments over l2."),
        Column("draft_nanoseconds", "ns", True, "Run time by the draft model."),
        Column("draft_efficiency", "1", False, "Useful operations by the draft over the peak of all cores."),
    ]
    for name, text in (
        ("arithmetic", "arithmetic of the main stage"),
        ("instructions", "loads, stores and branches of the main stage"),
        ("l2", "l1 misses of the main stage"),
        ("l3", "l2 misses of the main stage"),
        ("dram", "l3 misses of the main stage"),
        ("auxiliary", "the other stages"),
        ("overhead", "fork and join"),
    ):
        columns.append(Column(f"draft_{name}", "1", False, f"Draft: seconds of {text} over the total."))
    return columns


COLUMNS: tuple[Column, ...] = (
    *_loops(),
    *_registers(),
    *_parallel(),
    *_caches(),
    *_buffers(),
    *_auxiliary(),
    *_program(),
)
"""All columns in matrix order."""

COLUMN_INDEX = {column.name: index for index, column in enumerate(COLUMNS)}
"""Place of each column."""


def column_table(columns: Sequence[Column] = COLUMNS) -> str:
    """Return columns as a Markdown table, for the documentation."""
    rows = ["| # | column | unit | scale | meaning |", "| --- | --- | --- | --- | --- |"]
    for index, column in enumerate(columns):
        scale = "log2(1+x)" if column.is_log else "x"
        rows.append(f"| {index} | `{column.name}` | {column.unit} | {scale} | {column.meaning} |")
    return "\n".join(rows) + "\n"
