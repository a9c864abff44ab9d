"""Ansor's transform steps on a TensorIR schedule, for workloads of one block.

Ansor numbers the stages of a compute graph, inputs included, and the loops of a stage as they stand at
each step. With one computed stage both numberings are plain: the stage comes after the inputs, and its
loops begin as the block's (spatial, then reduction).
"""

from __future__ import annotations

from typing import Any

from records.errors import InvalidLine
from search_space import tvm_api
from search_space.workload import Workload

_UNROLL, _VECTORIZE, _PARALLEL = 1, 2, 3
_OTHER_STEPS = {
    "CA": "compute_at",
    "CI": "compute_inline",
    "CR": "compute_root",
    "CHR": "cache_read",
    "CHW": "cache_write",
    "FSP": "follow_split",
    "FFSP": "follow_fused_split",
    "RF": "rfactor",
    "SA": "storage_align",
}


def replay_steps(workload: Workload, steps: list[Any]) -> Any:
    """Apply Ansor's steps to a workload.

    Args:
        workload: A workload of one block whose loops are the axes of Ansor's stage.
        steps: Decoded steps, such as ``["SP", 2, 0, 512, [8, 4], 1]``.

    Returns:
        The schedule's trace.

    Raises:
        InvalidLine: If the workload has several blocks, or a step is malformed or of a kind that has no
            counterpart here; the message names the step.
    """
    module = tvm_api.IRModule({"main": workload.func.with_attr("global_symbol", "main")})
    schedule = tvm_api.Schedule(module)
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    if len(blocks) != 1:
        raise InvalidLine(
            f"{workload.name} has {len(blocks)} blocks; Ansor's logs map for workloads of one block"
        )
    stage = len(workload.inputs)
    loops = list(schedule.get_loops(blocks[0]))
    for number, step in enumerate(steps):
        where = f"step {number} {str(step)[:60]}"
        if not (isinstance(step, list) and step and isinstance(step[0], str)):
            raise InvalidLine(f"{where} is malformed")
        if step[0] in _OTHER_STEPS:
            raise InvalidLine(
                f"{where}: {_OTHER_STEPS[step[0]]} has no counterpart for a workload of one block"
            )
        if len(step) < 3 or step[1] != stage:
            raise InvalidLine(f"{where} is about stage {step[1:2]}, expected the computed stage {stage}")
        try:
            loops = _apply(schedule, blocks[0], loops, step)
        except (IndexError, TypeError, ValueError, KeyError) as error:
            raise InvalidLine(f"{where} is malformed: {error}") from error
    return schedule.trace


def _apply(schedule: Any, block: Any, loops: list[Any], step: list[Any]) -> list[Any]:
    """Apply one step and return the loops as they stand after it."""
    name, argument = step[0], step[2]
    if name == "SP":
        return _split(schedule, loops, step)
    if name == "RE":
        if sorted(argument) != list(range(len(loops))):
            raise ValueError(f"{argument} is no order of {len(loops)} loops")
        ordered = [loops[i] for i in argument]
        schedule.reorder(*ordered)
        return ordered
    if name == "FU":
        first, last = argument[0], argument[-1]
        if argument != list(range(first, last + 1)) or not 0 <= first <= last < len(loops):
            raise ValueError(f"{argument} are no neighbouring loops")
        if len(argument) == 1:
            return loops
        return [*loops[:first], schedule.fuse(*loops[first : last + 1]), *loops[last + 1 :]]
    if name == "AN":
        loop = loops[_index(argument, loops)]
        if step[3] == _PARALLEL:
            schedule.parallel(loop)
        elif step[3] == _VECTORIZE:
            schedule.vectorize(loop)
        elif step[3] == _UNROLL:
            schedule.unroll(loop)
        elif step[3] != 0:
            raise ValueError(f"annotation {step[3]} binds GPU threads, which is not supported")
        return loops
    if name == "PR":
        pragma, _, value = str(step[3]).partition("$")
        if pragma != "auto_unroll_max_step":
            raise ValueError(f"pragma {pragma!r} is unknown")
        schedule.annotate(loops[_index(argument, loops)], "pragma_auto_unroll_max_step", int(value))
        return loops
    raise ValueError(f"a step of kind {name!r} is unknown")


def _split(schedule: Any, loops: list[Any], step: list[Any]) -> list[Any]:
    _, _, index, extent, lengths, inner_to_outer = step[:6]
    if not (isinstance(lengths, list) and lengths and all(isinstance(n, int) and n > 0 for n in lengths)):
        raise ValueError("its lengths are not all known")
    loop = loops[_index(index, loops)]
    found = int(schedule.get(loop).extent)
    if extent is not None and extent != found:
        raise ValueError(f"its loop has {found} iterations here: the workload is another one")
    factors = [None, *lengths] if inner_to_outer else [*lengths, None]
    parts = schedule.split(loop, factors)
    return [*loops[:index], *parts, *loops[index + 1 :]]


def _index(value: Any, loops: list[Any]) -> int:
    if not (isinstance(value, int) and 0 <= value < len(loops)):
        raise IndexError(f"there is no loop {value!r} among {len(loops)}")
    return value
