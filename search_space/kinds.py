"""What a kind of target brings along: its sketch rules, its rewrites, its last pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from search_space.cpu import CPU_RULES
from search_space.generate import Rule
from search_space.gpu import GPU_RULES, LOWERING, bind_untuned
from search_space.numerics import vectorise_transcendentals
from search_space.rewrites import GPU_SPLITS, alternatives
from search_space.rewrites.base import Rewrite
from search_space.tensorize.fitting import fitted
from search_space.tensorize.linking import link_intrinsics


@dataclass(frozen=True, slots=True)
class Space:
    """The search space of one kind of target.

    Attributes:
        rules: Sketch rules in order of preference.
        rewrites: Finds other programs for a function.
        finish: Applied to every scheduled module before it is compiled.
        untuned: Makes an unscheduled module runnable, changing as little as possible.
        lowering: Options of TVM's pass context that its schedules need.
        fitted: Changes what keeps intrinsics of the hardware from computing a function, if anything.
    """

    rules: Sequence[Rule[Any]]
    rewrites: Callable[[Any], list[Rewrite]]
    finish: Callable[[Any], Any]
    untuned: Callable[[Any], Any]
    lowering: Mapping[str, Any]
    fitted: Callable[[Any, Any], Rewrite | None] = lambda func, hardware: None


def _unchanged(module: Any) -> Any:
    """Return the module: CPUs run any program, and CUDA has fast functions of its own."""
    return module


def _finish_cpu(module: Any) -> Any:
    return link_intrinsics(vectorise_transcendentals(module))


_gpu_alternatives = partial(alternatives, has_caches=False, splits=GPU_SPLITS)

SPACES: Mapping[str, Space] = {
    "llvm": Space(CPU_RULES, alternatives, _finish_cpu, _unchanged, {}, fitted),
    "cuda": Space(GPU_RULES, _gpu_alternatives, _unchanged, bind_untuned, LOWERING),
}
"""Target kind to search space."""


def space_of(kind: str) -> Space:
    """Return the search space of a target kind.

    Raises:
        ValueError: If there is none.
    """
    if kind not in SPACES:
        raise ValueError(f"target kind {kind!r}: cannot be tuned; known are {', '.join(SPACES)}")
    return SPACES[kind]
