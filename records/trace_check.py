"""What a trace or program from a file may contain before the compiler sees it.

The compiler turns some annotations and calls into foreign code (``pragma_import_llvm`` reads a file of
LLVM code, ``call_extern`` calls any C function), so everything is compared with lists of what schedules
need. A program that passes is data of bounded size; *running* a program of a stranger is another matter:
it computes what its author wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from records.errors import InvalidLine

MAX_INSTRUCTIONS = 8192
"""The longest traces of MetaSchedule's largest subgraphs have some 600."""

MAX_PROGRAM_BYTES = 16 << 20
MAX_DEPTH = 64

_INSTRUCTION_NAMES = """
AddUnitLoop Annotate AnnotateBufferAccess Bind Blockize CacheIndex CacheInplace
CacheRead CacheWrite ComputeAt ComputeInline DecomposePadding DecomposeReduction EnterPostproc Fuse
FuseReductionEpilogue GetChildBlocks GetConsumers GetLoops GetOutputBlocks GetProducers GetSBlock
LoopPartition Merge PadEinsum Parallel RFactor ReIndex ReadAt ReindexCacheRead ReindexCacheWrite
Reorder ReorderBlockIterVar ReverseComputeAt ReverseComputeInline RollingBuffer SampleCategorical
SampleComputeLocation SamplePartitionedTile SamplePerfectTile SetScope Split StorageAlign Tensorize
TransformBlockLayout TransformLayout Unannotate Unroll Vectorize WriteAt
"""

INSTRUCTIONS = frozenset(_INSTRUCTION_NAMES.split())
"""Every schedule instruction of TVM 0.27 but those that its authors call unsafe."""

_ANNOTATION = re.compile(
    r"(meta_schedule|tirtune)\.[\w.]{1,64}|software_pipeline_\w{1,32}|pragma_(auto_unroll_max_step|unroll_explicit"
    r"|unroll|loop_partition_hint|tirtune_stream|tirtune_prefetch(_result)?)|permuted_layout|buffer_dim_align|double_buffer_scope|double_buffer_write|warp_execution"
    r"|layout_free_buffers|tirx?\.\w{1,64}|schedule_rule|explicit_read_region|explicit_write_region|script_parsing_detect_access"
)

_NODE_TYPES = re.compile(
    r"None|bool|int|float|DataType|Device|(ffi|ir|prim|relax|s_tir|tirx|sym|runtime|target)\.[\w.]{1,80}"
)

_FOREIGN = re.compile(
    r"pragma_import_\w+|pragma_debug_skip_region"
    r"|(tirx?\.)?(call_extern|call_pure_extern|call_ffi_kernel|call_cpacked\w*|call_packed\w*|tvm_call_\w*packed\w*)"
)


def check_trace(trace: Any) -> None:
    """Refuse a trace that holds more than known schedule instructions.

    Args:
        trace: The decoded JSON: a list of instructions and a list of decisions.

    Raises:
        InvalidLine: With the instruction's number and what is wrong with it.
    """
    if not (isinstance(trace, list) and len(trace) == 2 and all(isinstance(part, list) for part in trace)):
        raise InvalidLine("a trace is a list of instructions and a list of decisions")
    instructions, decisions = trace
    if max(len(instructions), len(decisions)) > MAX_INSTRUCTIONS:
        raise InvalidLine(f"a trace of {len(instructions)} instructions, more than {MAX_INSTRUCTIONS}")
    for number, instruction in enumerate(instructions):
        well_formed = (
            isinstance(instruction, list)
            and len(instruction) == 4
            and isinstance(instruction[0], str)
            and all(isinstance(part, list) for part in instruction[1:])
        )
        if not well_formed:
            raise InvalidLine(f"instruction {number} is not [name, inputs, attributes, outputs]")
        name, inputs, attributes, _ = instruction
        if name not in INSTRUCTIONS:
            raise InvalidLine(
                f"instruction {number} is {name[:80]!r}, which is not a known schedule instruction"
            )
        if name == "Annotate" and not (
            attributes and isinstance(attributes[0], str) and _ANNOTATION.fullmatch(attributes[0])
        ):
            raise InvalidLine(f"instruction {number} annotates {str(attributes)[:80]}, which is not allowed")
        for text in _strings([inputs, attributes]):
            _check_text(text, f"instruction {number}")
    for number, decision in enumerate(decisions):
        well_formed = isinstance(decision, list) and len(decision) == 2 and isinstance(decision[0], int)
        if not (well_formed and 0 <= decision[0] < len(instructions)):
            raise InvalidLine(f"decision {number} does not belong to an instruction")


def check_program(text: str) -> None:
    """Refuse a program that is too large, not TVM's JSON, or calls foreign code.

    Raises:
        InvalidLine: With what is wrong.
    """
    if len(text) > MAX_PROGRAM_BYTES:
        raise InvalidLine(f"a program of {len(text)} characters, more than {MAX_PROGRAM_BYTES}")
    try:
        graph = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidLine(f"a program is not JSON: {error}") from error
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    root = graph.get("root_index") if isinstance(graph, dict) else None
    if not (isinstance(nodes, list) and isinstance(root, int) and 0 <= root < len(nodes)):
        raise InvalidLine("a program is not TVM's JSON graph")
    for number, node in enumerate(nodes):
        kind = node.get("type") if isinstance(node, dict) else None
        if not (isinstance(kind, str) and _NODE_TYPES.fullmatch(kind)):
            raise InvalidLine(f"node {number} of a program is a {str(kind)[:80]!r}, which is not allowed")
        for string in _strings(node):
            _check_text(string, f"node {number}")


def _check_text(text: str, where: str) -> None:
    if _FOREIGN.fullmatch(text):
        raise InvalidLine(f"{where} would run foreign code ({text[:80]}): it is not allowed in a record")
    if text.startswith("{") and '"root_index"' in text:
        check_program(text)


def _strings(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise InvalidLine(f"values are nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item, depth + 1)
