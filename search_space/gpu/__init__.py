"""The NVIDIA GPU's ordered list of sketch rules, its untuned schedule, its lowering options."""

from search_space.gpu.rules import GPU_RULES
from search_space.gpu.untuned import bind_untuned

LOWERING = {"tirx.use_async_copy": True, "tirx.disable_storage_rewrite": True}
"""Asynchronous copies: without the option the copies of a pipeline wait for each other.
No storage rewrite: it lets buffers of different element types share memory, which TVM's code generator for
CUDA then refuses."""

__all__ = ["GPU_RULES", "LOWERING", "bind_untuned"]
