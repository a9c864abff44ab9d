"""The NVIDIA GPU's ordered list of sketch rules, and its untuned schedule."""

from search_space.gpu.rules import GPU_RULES
from search_space.gpu.untuned import bind_untuned

__all__ = ["GPU_RULES", "bind_untuned"]
