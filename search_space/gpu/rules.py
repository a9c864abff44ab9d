"""Which rule takes which block on a GPU, in order of preference.

A state's pending blocks are visited from the outputs to the inputs (Ansor section 4.1); each rule
takes the last pending block, with the producers that belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from search_space.access import BlockInfo
from search_space.generate import Rule, SketchState
from search_space.gpu.elementwise import BindStep
from search_space.hardware_gpu import GpuHardware

GpuState = SketchState[GpuHardware]


def bind(state: GpuState, block: BlockInfo) -> Sequence[GpuState]:
    """Run whatever is left as a kernel of its own."""
    return (state.scheduled((block.name,), (BindStep(block, state.hardware),)),)


GPU_RULES: tuple[Rule[GpuHardware], ...] = (bind,)
