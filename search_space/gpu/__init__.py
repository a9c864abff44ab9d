"""The NVIDIA GPU's ordered list of sketch rules, its untuned schedule, its lowering options."""

from search_space.gpu.rules import GPU_RULES
from search_space.gpu.untuned import bind_untuned

LOWERING = {"tirx.use_async_copy": True}
"""Without it the copies of a pipeline wait for each other."""

__all__ = ["GPU_RULES", "LOWERING", "bind_untuned"]
