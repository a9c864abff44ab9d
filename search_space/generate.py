"""Derive the sketches of a program: inline, group what is left around reductions, compose steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Generic

from search_space.access import BlockInfo, analyse
from search_space.hardware import Limits
from search_space.rules.inline import InlineStep, may_inline, must_inline
from search_space.sketch import Sketch
from search_space.steps import Step
from search_space.tvm_api import IRModule, Schedule
from search_space.workload import Workload

MAX_SKETCHES = 12
"""Sketches of one program; what the rules derive beyond that is dropped, least-special last."""


@dataclass(frozen=True, slots=True, eq=False)
class SketchState(Generic[Limits]):
    """A partly derived sketch.

    Attributes:
        blocks: The blocks after inlining, in program order.
        pending: Names of the blocks that no step schedules yet.
        steps: The steps so far, in the order of application.
        label: Words that tell this derivation from its siblings.
        hardware: Limits.
        constants: Names of the buffers that hold weights, or what is made of weights only.
        func: The program, nothing inlined: for rules that try primitives out.
    """

    blocks: dict[str, BlockInfo]
    pending: tuple[str, ...]
    steps: tuple[Step, ...]
    label: tuple[str, ...]
    hardware: Limits
    constants: frozenset[str] = frozenset()
    func: Any = None

    def scheduled(self, names: Sequence[str], steps: Sequence[Step], *words: str) -> SketchState[Limits]:
        """Return the state in which ``steps`` schedule the blocks ``names``."""
        left = tuple(p for p in self.pending if p not in names)
        return replace(self, pending=left, steps=(*self.steps, *steps), label=(*self.label, *words))


Rule = Callable[[SketchState[Limits], BlockInfo], Sequence[SketchState[Limits]]]
"""A sketch rule: given a state and its last pending block, return the states in which that block
(and whatever it takes with it) is scheduled; nothing when the rule does not apply. The first rule of
the list that returns something decides."""


def generate(
    func: Any,
    name: str,
    flops: float,
    hardware: Limits,
    rules: Sequence[Rule[Limits]],
    prefix: str = "",
    rewritten: bool = False,
    tolerance_scale: float = 1.0,
    constants: Sequence[int] = (),
) -> list[Sketch]:
    """Derive the sketches of one program.

    Blocks that only weights go into stay as they are, whole loops of their own: they run once, when a
    model is compiled.

    Args:
        func: The PrimFunc to schedule.
        name: Workload name, for messages.
        flops: Operations that the workload needs.
        hardware: Limits.
        rules: Rules in order of preference (see ``search_space.cpu`` and ``search_space.gpu``).
        prefix: Words before every sketch's name, such as the rewrite that made ``func``.
        rewritten: Whether ``func`` is another program than the workload's.
        tolerance_scale: How much larger its rounding errors may be.
        constants: Positions of the parameters that are weights.

    Returns:
        At least one sketch.

    Raises:
        ValueError: If no rule takes a block.
    """
    finished: list[SketchState[Limits]] = []
    weights = frozenset(str(func.params[position].name) for position in constants)
    for state in _inline_variants(func, hardware, weights):
        stack = [state]
        while stack:
            current = stack.pop()
            if not current.pending:
                finished.append(current)
                continue
            block = current.blocks[current.pending[-1]]
            derived: Sequence[SketchState[Limits]] = ()
            for rule in rules:
                derived = rule(current, block)
                if derived:
                    break
            if not derived:
                raise ValueError(f"workload {name}: no sketch rule schedules block {block.name}")
            stack.extend(reversed(derived))
    sketches: list[Sketch] = []
    names: set[str] = set()
    for state in finished[:MAX_SKETCHES]:
        label = "-".join((prefix, *state.label) if prefix else state.label) or "plain"
        while label in names:
            label += "+"
        names.add(label)
        scale = tolerance_scale * prod(step.tolerance_scale for step in state.steps)
        sketches.append(Sketch(label, func, rewritten, state.steps, flops, hardware, scale))
    return sketches


def _inline_variants(func: Any, hardware: Limits, weights: frozenset[str]) -> list[SketchState[Limits]]:
    """Inline what always pays; branch on what may pay (padding) for up to two blocks."""
    # The module must stay referenced: TVM changes a module that nobody else holds in place.
    module = IRModule({"main": func.with_attr("global_symbol", "main")})
    sch = Schedule(module, debug_mask="none", error_render_level="fast")
    variants: list[tuple[Schedule, tuple[str, ...], tuple[str, ...]]] = []
    known: list[BlockInfo] = []
    fixed = _constant_blocks(analyse(sch, known), weights)
    base_steps = _inline_all(sch, fixed, known)
    variants.append((sch, base_steps, ()))
    blocks = analyse(sch, known)
    optional = [b.name for b in blocks.values() if b.name not in fixed and may_inline(b, blocks)]
    for name in optional[:2]:
        for other, steps, words in list(variants):
            if name in steps:
                continue  # an earlier choice has inlined it already
            copy = other.copy()
            copy.compute_inline(copy.get_sblock(name))
            more = _inline_all(copy, fixed, known)
            variants.append((copy, (*steps, name, *more), (*words, f"inline.{name}")))
    states = []
    for sch_variant, inlined, words in variants:
        blocks = analyse(sch_variant, known)
        pending = tuple(name for name in blocks if name not in fixed)
        made = frozenset(use.name for name in fixed for use in blocks[name].writes)
        inlines = tuple(InlineStep(n) for n in inlined)
        states.append(SketchState(blocks, pending, inlines, words, hardware, weights | made, func))
    return states


def _constant_blocks(blocks: dict[str, BlockInfo], weights: frozenset[str]) -> frozenset[str]:
    """Name the blocks whose results follow from weights alone; what follows from nothing is none of them."""
    known = set(weights)
    found: set[str] = set()
    for block in blocks.values():  # in program order: producers first
        reads = {use.name for use in block.reads}
        if reads and reads <= known and not block.is_output:
            found.add(block.name)
            known.update(use.name for use in block.writes)
    return frozenset(found)


def _inline_all(sch: Schedule, fixed: frozenset[str], known: list[BlockInfo]) -> tuple[str, ...]:
    inlined: list[str] = []
    while True:
        blocks = analyse(sch, known)
        found = next(
            (b.name for b in blocks.values() if b.name not in fixed and must_inline(b, blocks)), None
        )
        if found is None:
            return tuple(inlined)
        sch.compute_inline(sch.get_sblock(found))
        inlined.append(found)


def workload_sketches(
    workload: Workload, hardware: Limits, rules: Sequence[Rule[Limits]], constants: Sequence[int] = ()
) -> list[Sketch]:
    """Derive the sketches of a workload's own program (see :func:`generate`)."""
    return generate(workload.func, workload.name, workload.flops, hardware, rules, constants=constants)
