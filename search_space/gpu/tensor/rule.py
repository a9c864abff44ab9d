"""The sketch rule for tensor cores: products of matrices of element types that have fragments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search_space.access import BlockInfo, analyse
from search_space.generate import SketchState
from search_space.gpu.elementwise import BindStep
from search_space.gpu.tensor.form import TensorForm, form_of
from search_space.gpu.tensor.step import TensorStep
from search_space.gpu.tensor.tiling import Factor, TensorTiling
from search_space.hardware_gpu import GpuHardware
from search_space.rules.inline import InlineStep, is_injective
from search_space.steps import Memory, Step
from search_space.tensorize import ensure_on_chip, matches
from search_space.tensorize.mma import MMA_TYPES, MmaTypes
from search_space.tensorize.pattern import Pattern, pattern_of_block
from search_space.tensorize.wmma import FRAGMENT_TYPES, FragmentTypes
from search_space.tvm_api import IRModule, Schedule, ScheduleError


def on_tensor_cores(
    state: SketchState[GpuHardware], block: BlockInfo, consumer: BlockInfo | None
) -> Sequence[SketchState[GpuHardware]]:
    """Offer a product on tensor cores besides the one on CUDA cores, where its types have fragments."""
    types = {use.dtype for use in block.reads}
    fitting = [
        t
        for t in (*MMA_TYPES, *FRAGMENT_TYPES)
        if types == {t.operand}
        and block.writes[0].dtype == t.result
        and state.hardware.capability >= t.capability
        and (t.operand != "float32" or state.hardware.has_tf32)
    ]
    if not fitting or block.body is None or state.func is None:
        return ()
    pattern = pattern_of_block(block.body)
    if pattern is None:
        return ()
    found = [_with_fragments(state, block, consumer, fragment, pattern) for fragment in fitting]
    return [derived for derived in found if derived is not None]


def _with_fragments(
    state: SketchState[GpuHardware],
    block: BlockInfo,
    consumer: BlockInfo | None,
    fragment: FragmentTypes | MmaTypes,
    pattern: Pattern,
) -> SketchState[GpuHardware] | None:
    """Derive the sketch with one kind of fragments; None where the block is no product that they compute."""
    product = ensure_on_chip(fragment.product(False))
    reads = [str(region.source.name) for region in block.body.reads]
    epilogue = consumer.name if consumer is not None else None
    for mapping in matches(product, pattern) if product is not None else ():
        form = form_of(mapping, block.name, fragment, reads, _makers(state, block), epilogue)
        derived = _derive(state, block, consumer, form) if form is not None else None
        if derived is not None:
            return derived
    return None


def _makers(state: SketchState[GpuHardware], block: BlockInfo) -> tuple[str, ...]:
    """Name the pending blocks that only make a factor, element by element."""
    return tuple(
        name
        for name in block.producers
        if name in state.pending
        and is_injective(state.blocks[name])
        and state.blocks[name].consumers == (block.name,)
        and not state.blocks[name].is_output
    )


def _derive(
    state: SketchState[GpuHardware], block: BlockInfo, consumer: BlockInfo | None, form: TensorForm
) -> SketchState[GpuHardware] | None:
    """Try the normal form out on the program; None where TVM refuses it."""
    # The module must stay referenced: TVM changes a module that nobody else holds in place.
    module = IRModule({"main": state.func.with_attr("global_symbol", "main")})
    sch = Schedule(module, debug_mask="none", error_render_level="fast")
    nothing: Any = None
    for step in state.steps:
        if isinstance(step, InlineStep):
            step.apply(sch, nothing, Memory())
    try:
        names = form.prepare(sch)
    except ScheduleError:
        return None
    infos = analyse(sch)
    out = infos[names["out"]]
    tiling = TensorTiling(
        name=block.name,
        batch=form.batch,
        rows=form.size(form.rows),
        columns=form.size(form.columns),
        terms=form.size(form.terms),
        factors=(_factor(infos[names["a"]], state), _factor(infos[names["b"]], state)),
        is_transposed=form.is_transposed,
        term_edge=form.types.terms,
        swizzles=form.types.swizzles,
        result_bytes=block.writes[0].element_bytes,
        out_width=_width(out, state),
        out_flops=out.flops,
        hardware=state.hardware,
    )
    steps: list[Step] = [TensorStep(form, tiling)]
    if "crop" in names:
        steps.append(BindStep(infos[names["crop"]], state.hardware))
    scheduled = [block.name, *form.makers, *([consumer.name] if consumer is not None else [])]
    return state.scheduled(scheduled, steps, form.types.kind)


def _factor(fetch: BlockInfo, state: SketchState[GpuHardware]) -> Factor:
    use = fetch.reads[0]
    return Factor(use.name, fetch.writes[0].element_bytes, _width(fetch, state), fetch.flops)


def _width(copy: BlockInfo, state: SketchState[GpuHardware]) -> int:
    """Return the elements of one access of a copy: aligned on both sides, and in whole fragments."""
    uses = (*copy.reads, *copy.writes)
    limit = state.hardware.fetch_bytes // max(use.element_bytes for use in uses)
    return min(limit, *(use.vector for use in uses))
